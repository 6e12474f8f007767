"""Which earlier model of the same training run may predict a row: one that has not seen it (theory, section 13)."""

import numpy as np


def first_unseen_row(step, rows_per_step):
    """The first row that the model of a step has not seen: `step` steps read the rows before row step * rows_per_step, and no other."""
    return step * rows_per_step


def reference_steps(rows, steps, rows_per_step):
    """The step of the reference of each row, int64 of the shape of `rows`: the latest that has not seen it, 0 where there is none.

    `steps` are those whose models were kept, ascending. A row that is read in several passes has one place, that of the first: a
    model that has read it there has seen it. The rule is fixed before any token is looked at, so that it is one reference.
    """
    steps = np.asarray([0, *steps], dtype=np.int64)
    return steps[np.searchsorted(first_unseen_row(steps, rows_per_step), np.asarray(rows), side="right") - 1]
