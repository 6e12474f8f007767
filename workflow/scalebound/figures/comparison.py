"""Published values and ours, side by side for each checkpoint."""

import numpy as np
from matplotlib.lines import Line2D

from scalebound.artifacts.family_tables import COMPARISON
from scalebound.figures import style

TABLE = COMPARISON  # that it is drawn from

SERIES = (
    ("azuma_bound", "Azuma bound", style.ORANGE, "^"),
    ("paper_bound", "the paper's bound", style.BLUE, "s"),
    ("train_loss", "training loss", style.BLACK, "o"),
)
_NOTES = {"missing": "not run", "other recipe": "not all by GPTQ"}


def draw(table):
    """`table` is comparison.csv: one row a checkpoint, with empty cells where something was not published or not run."""
    places = np.arange(len(table))
    with style.figure(width=5.6) as (drawn, axes):
        for column, _, colour, marker in SERIES:
            axes.plot(places - 0.12, table[f"{column}_published"], linestyle="", marker=marker, markerfacecolor="none", color=colour)
            axes.plot(places + 0.12, table[column], linestyle="", marker=marker, color=colour)
        for place, text in ((place, _NOTES[status]) for place, status in zip(places, table["status"]) if status in _NOTES):
            axes.annotate(text, (place + 0.12, 0.15), rotation=90, ha="center", va="bottom", fontsize=7, color="#777777")
        axes.set_xticks(places, table["checkpoint"], rotation=30, ha="right")
        axes.set_xlim(-0.6, len(table) - 0.4)
        axes.set_ylim(bottom=0)
        axes.set_ylabel("Nats per token")
        drawn.legend(handles=_handles(), loc="outside upper center", ncols=3)
        return drawn


def _handles():
    kinds = [Line2D([], [], linestyle="", marker=marker, color=colour, label=label) for _, label, colour, marker in SERIES]
    open_marker = Line2D([], [], linestyle="", marker="D", color="#555555", markerfacecolor="none", label="published")
    return [*kinds, open_marker, Line2D([], [], linestyle="", marker="D", color="#555555", label="this run (estimate)")]
