"""The paper's bound split into its terms, one bar for each checkpoint."""

import numpy as np

from scalebound.artifacts.family_tables import BOUNDS
from scalebound.counts import short_count
from scalebound.figures import style

TABLE = BOUNDS  # that it is drawn from
ONE_QUANTIZER = True  # drawn from the rows of one

TERMS = (
    ("train_loss", "training loss", "#4D4D4D", ""),
    ("term_parameters_per_token", "parameters per token, $C \\log V$", style.BLUE, "//"),
    ("term_loss_variation", "loss variation, $\\Sigma\\sqrt{C}$", style.ORANGE, ".."),
    ("term_smoothing", "smoothing", style.SKY, "\\\\"),
    ("term_quantization_gap", "quantization gap", style.VERMILION, "xx"),
)


def draw(table):
    """`table` holds the rows of one quantizer."""
    table = table.sort_values("n_params")
    with style.figure(height=3.6) as (drawn, axes):
        places, bottom = np.arange(len(table)), np.zeros(len(table))
        for column, label, colour, hatch in TERMS:
            values = table[column].to_numpy()
            axes.bar(places, values, bottom=bottom, width=0.62, color=colour, hatch=hatch, edgecolor="white", linewidth=0.5, label=label)
            bottom = bottom + values
        for place, total in zip(places, bottom):
            axes.annotate(f"{total:.2f}", (place, total), textcoords="offset points", xytext=(0, 3), ha="center", fontsize=8)
        axes.set_xticks(places, [short_count(n) for n in table["n_params"]])
        axes.set_xlabel("Parameters $N$")
        axes.set_ylabel("Nats per token")
        axes.set_ylim(0, bottom.max() * 1.08)
        axes.grid(axis="x", visible=False)
        handles, labels = axes.get_legend_handles_labels()
        drawn.legend(handles[::-1], labels[::-1], loc="outside upper center", ncols=2)
        return drawn
