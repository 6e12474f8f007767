"""Gaps above the training loss against tokens: measured on the family, and predicted for published models."""

import matplotlib as mpl

from scalebound.artifacts.family_tables import GAP_LAW
from scalebound.figures import style

TABLE = GAP_LAW  # that it is drawn from

LOOKS = ((style.BLUE, "s", "-"), (style.ORANGE, "^", "-"), (style.GREEN, "D", "-"), (style.BLACK, "o", "-"))
PREDICTED = ((style.VERMILION, "v"), (style.SKY, "P"), (style.BLUE, "X"))


def draw(table):
    """`table` is gap_law.csv: one row a series and model."""
    with style.figure(height=4.0, width=6.2) as (drawn, axes):
        measured, predicted = (table[(table["kind"] == kind) & (table["gap"] > 0)] for kind in ("measured", "predicted"))
        for k, (name, line) in enumerate(measured.groupby("series", sort=False)):
            colour, marker, dashes = LOOKS[k % len(LOOKS)]
            axes.plot(line["n_tokens"], line["gap"], color=colour, marker=marker, linestyle=dashes, label=name)
        for k, (name, line) in enumerate(predicted.groupby("series", sort=False)):
            colour, marker = PREDICTED[k % len(PREDICTED)]
            line = line.sort_values("n_tokens")
            axes.plot(line["n_tokens"], line["gap"], color=colour, marker=marker, linestyle="none", markerfacecolor="white", label=f"predicted: {name}")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
        axes.yaxis.set_minor_formatter(mpl.ticker.NullFormatter())
        axes.set_xlabel("Training tokens $D$")
        axes.set_ylabel("Gap above the training loss\n(nats per token)")
        drawn.legend(loc="outside upper left")
        return drawn
