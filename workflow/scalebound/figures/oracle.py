"""Certificates beside the truth, on a stream whose every conditional distribution is known."""

import numpy as np

from scalebound.counts import short_count
from scalebound.figures import style

# column, label, marker, colour, filled; from what a reader has to what is true
POINTS = (
    ("paper_recipe", "the paper's recipe (estimate)", "^", style.SKY, False),
    ("certificate", "certificate", "s", style.BLUE, True),
    ("estimate", "estimate of the certificate", "s", style.BLUE, False),
    ("true_risk", "true risk of the certified model", "D", style.VERMILION, True),
    ("trained_risk", "true risk of the trained model", "D", style.VERMILION, False),
    ("train_loss", "training loss of the trained model", "o", style.BLACK, True),
)


def draw(table):
    """`table` is certificates.csv: one row a checkpoint; those without a known truth are left out."""
    table = table[np.isfinite(table["true_risk"])].sort_values(["n_params", "n_tokens"], ascending=[True, False])
    places = np.arange(len(table))
    with style.figure(height=3.8, width=6.4) as (drawn, axes):
        axes.vlines(places, table["true_risk"], table["certificate"], color=style.BLUE, linewidth=1)
        for column, label, marker, colour, filled in POINTS:
            axes.plot(places, table[column], marker, color=colour, markerfacecolor=colour if filled else "white", label=label)
        axes.set_xticks(places, [_label(row) for _, row in table.iterrows()])
        axes.set_xlim(-0.6, len(table) - 0.4)
        axes.set_ylim(bottom=0)
        axes.set_ylabel("Nats per token")
        drawn.legend(loc="outside upper center", ncols=2)
        return drawn


def _label(row):
    return f"{row['checkpoint']}\n{short_count(row['n_params'])} parameters\n{row['n_tokens'] / row['n_params']:.2g} tokens each"
