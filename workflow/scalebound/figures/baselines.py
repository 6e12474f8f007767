"""All bounds beside training and held-out loss against the number of parameters; what lies far above log V is written, not drawn."""

import numpy as np

from scalebound.artifacts.family_tables import BASELINES
from scalebound.figures import style

TABLE = BASELINES  # that it is drawn from

LINES = (
    ("azuma_bound", "Azuma bound (estimate)", style.ORANGE, "^", "-."),
    ("paper_bound", "the paper's bound (estimate)", style.BLUE, "s", "--"),
    ("geometric_bound", "geometric-mean bound (estimate)", style.SKY, "v", (0, (5, 1, 1, 1, 1, 1))),
    ("certificate", "certificate", style.GREEN, "D", "-"),
)
ROOM = 1.22  # height of the axis in units of log V


def draw(table):
    """`table` is baselines.csv: one row a checkpoint."""
    table = table.sort_values("n_params")
    trivial, sizes = float(table["log_v"].max()), table["n_params"]
    with style.figure(height=4.6, width=5.6) as (drawn, axes):
        for column, label, colour, marker, dashes in LINES:
            _line(axes, sizes, table[column], trivial, color=colour, marker=marker, linestyle=dashes, label=label)
        if table["heldout_loss"].notna().any():
            look = {"color": style.VERMILION, "marker": "x", "markersize": 6, "linestyle": ":", "capsize": 2}
            axes.errorbar(sizes, table["heldout_loss"], yerr=table["heldout_standard_error"], label="held-out loss, ± standard error", **look)
        axes.plot(sizes, table["train_loss"], color=style.BLACK, marker="o", label="training loss")
        axes.plot(sizes, table["log_v"], color="#777777", linestyle=(0, (1, 3)), label="uniform prediction, $\\log V$")
        _documents(axes, table, trivial)
        style.parameter_axis(axes, sizes)
        axes.set_ylabel("Nats per token")
        axes.set_ylim(0, ROOM * trivial)
        drawn.legend(loc="outside upper center", ncols=2)
        return drawn


def _line(axes, sizes, values, trivial, **look):
    """A line where there are values; one that leaves the axis ends at its upper border."""
    if values.notna().any():
        axes.plot(sizes, np.minimum(values, ROOM * trivial), **look)


def _documents(axes, table, trivial):
    """The bound for documents as a number with an arrow where it lies beyond the axis, as a marker where it does not."""
    look = {"color": "#4D4D4D", "linestyle": "", "markerfacecolor": "none"}
    known = table[table["document_bound"].notna()]
    if known.empty:
        return
    above = known["document_bound"] > ROOM * trivial
    places = np.where(above, 0.97 * ROOM * trivial, known["document_bound"])
    axes.plot(known["n_params"], places, marker="^", label="bound for documents (estimate, in nats)", **look)
    for size, place, value, vacuous in zip(known["n_params"], places, known["document_bound"], above):
        if vacuous:
            axes.annotate(f"{value:.0f}", (size, place), textcoords="offset points", xytext=(0, -5), ha="center", va="top", fontsize=8)
