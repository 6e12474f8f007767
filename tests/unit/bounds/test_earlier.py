"""Which earlier model may predict a row: at the edges of what it has seen."""

import numpy as np
import pytest

from scalebound.bounds.earlier import first_unseen_row, reference_steps


@pytest.mark.parametrize(("row", "step"), [(0, 0), (9, 0), (10, 5), (11, 5), (23, 5), (24, 12), (10**9, 12)])
def test_the_latest_model_that_has_not_seen_the_row(row, step):
    """Two rows a step: the model of step 5 has seen rows 0 to 9, that of step 12 rows 0 to 23."""
    assert reference_steps(row, [5, 12], 2) == step


def test_no_reference_has_seen_its_row_and_none_after_it_had_not():
    steps, rows = [1, 3, 4, 9, 27], np.arange(200)
    for row, used in zip(rows, reference_steps(rows, steps, 7)):
        read = {s: set(range(7 * s)) for s in [0, *steps]}
        assert row not in read[used]
        assert all(row in read[s] for s in steps if s > used)


def test_before_and_without_any_model_there_is_none():
    assert reference_steps([0, 5], [], 3).tolist() == [0, 0]
    assert first_unseen_row(0, 3) == 0
    assert first_unseen_row(4, 3) == 12


def test_the_shape_is_that_of_the_rows():
    assert reference_steps(np.zeros((3, 2), dtype=int), [1], 1).shape == (3, 2)
