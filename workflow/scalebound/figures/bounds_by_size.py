"""Training loss, the paper's bound and Azuma's bound against the number of parameters."""

import numpy as np

from scalebound.artifacts.family_tables import BOUNDS
from scalebound.figures import style

TABLE = BOUNDS  # that it is drawn from
ONE_QUANTIZER = True  # drawn from the rows of one

LINES = (
    ("azuma_bound", "Azuma bound (estimate)", style.ORANGE, "^", "-."),
    ("paper_bound", "the paper's bound (estimate)", style.BLUE, "s", "--"),
    ("train_loss", "training loss", style.BLACK, "o", "-"),
)


def draw(table):
    """`table` holds the rows of one quantizer."""
    table = table.sort_values("n_params")
    with style.figure() as (drawn, axes):
        for column, label, colour, marker, line in LINES:
            style.line_by_size(axes, table, table[column], color=colour, marker=marker, linestyle=line, label=label)
        trivial = np.log(table["vocab_size"])
        axes.plot(table["n_params"], trivial, color="#777777", linestyle=":", label="uniform prediction, $\\log V$")
        style.parameter_axis(axes, table["n_params"])
        axes.set_ylabel("Nats per token")
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower left", ncols=1)
        return drawn
