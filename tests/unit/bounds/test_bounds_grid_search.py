"""The coarse-to-fine search against brute force."""

import itertools

import numpy as np
import pytest

from scalebound.bounds.grid_search import least_on_grid


def bowl(centre, skew):
    """A convex function of the index with a valley that is not along an axis."""
    return lambda index: float(np.sum((np.subtract(index, centre) @ skew) ** 2))


@pytest.mark.parametrize("shape", [(1,), (40,), (1, 1, 1), (9, 13), (40, 1000), (7, 1, 21), (12, 9, 30, 11)])
def test_the_least_of_a_bowl_is_found(shape):
    rng = np.random.default_rng(len(shape))
    for _ in range(10):
        centre = [int(rng.integers(size)) for size in shape]
        skew = np.eye(len(shape)) + 0.2 * rng.standard_normal((len(shape), len(shape)))
        index, value = least_on_grid(bowl(centre, skew), shape)
        assert (index, value) == (tuple(centre), 0.0)


def test_the_result_is_no_worse_than_any_neighbour():
    rng = np.random.default_rng(5)
    rough = rng.random((30, 30))
    index, value = least_on_grid(lambda i: rough[i], (30, 30))
    around = [range(max(0, i - 1), min(30, i + 2)) for i in index]
    assert value == rough[index] == min(rough[j] for j in itertools.product(*around))


def test_few_points_of_a_large_product_are_visited():
    visited = []
    least_on_grid(lambda i: visited.append(i) or bowl([30, 700, 5], np.eye(3))(i), (40, 1000, 21))
    assert len(visited) == len(set(visited)) < 1000


def test_a_preview_chooses_where_the_search_starts_but_not_what_is_best():
    values = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.0, 9.0, 9.0, 9.0])
    seen = []
    index, value = least_on_grid(lambda i: values[i], (9,), preview=lambda i: seen.append(i) or -i[0])
    assert seen
    assert value == values[index]
    assert index in {(5,), (8,), (7,)}
