"""Certificates beside the truth, on a stream whose every conditional distribution is known."""

import numpy as np

from scalebound.artifacts.family_tables import CERTIFICATES
from scalebound.counts import short_count
from scalebound.figures import style

TABLE = CERTIFICATES  # that it is drawn from

# column, label, marker, colour, filled, place beside the checkpoint's: what is certified, what is estimated, the model as trained
POINTS = (
    ("certificate", "certificate", "s", style.BLUE, True, 0),
    ("true_risk", "true risk of the certified model", "D", style.VERMILION, True, 0),
    ("estimate", "estimate of the certificate", "s", style.BLUE, False, -0.14),
    ("trained_risk", "true risk of the trained model", "D", style.VERMILION, False, 0.14),
    ("train_loss", "training loss of the trained model", "o", style.BLACK, True, 0.14),
)
RECIPE = ("paper_recipe", "the paper's recipe (estimate)", "^", style.SKY, -0.14)


def draw(table):
    """`table` is certificates.csv: one row a checkpoint; those without a known truth are left out."""
    table = table[np.isfinite(table["true_risk"])].sort_values(["n_params", "n_tokens"], ascending=[True, False])
    places, top = np.arange(len(table)), 1.18 * table[[column for column, *_ in POINTS]].max(axis=None)
    with style.figure(height=3.8, width=6.4) as (drawn, axes):
        axes.vlines(places, table["true_risk"], table["certificate"], color=style.BLUE, linewidth=1)
        for column, label, marker, colour, filled, aside in POINTS:
            axes.plot(places + aside, table[column], marker, color=colour, markerfacecolor=colour if filled else "white", label=label)
        _draw_recipe(axes, places, table, top)
        axes.set_xticks(places, [_label(row) for _, row in table.iterrows()])
        axes.set_xlim(-0.6, len(table) - 0.4)
        axes.set_ylim(0, top)
        axes.set_ylabel("Nats per token")
        drawn.legend(loc="outside upper center", ncols=2)
        return drawn


def _draw_recipe(axes, places, table, top):
    """What is far above everything else stands at the upper edge with its number: to scale it would flatten the rest."""
    column, label, marker, colour, aside = RECIPE
    values = table[column].to_numpy(dtype=float)
    shown = np.minimum(values, 0.97 * top)
    axes.plot(places + aside, shown, marker, color=colour, markerfacecolor="white", label=label)
    for place, value, height in zip(places, values, shown):
        if value > height:
            axes.annotate(f"{value:.1f}", (place + aside, height), xytext=(-5, 0), textcoords="offset points", ha="right", va="center", fontsize=8)


def _label(row):
    return f"{row['checkpoint']}\n{short_count(row['n_params'])} parameters\n{row['n_tokens'] / row['n_params']:.2g} tokens each"
