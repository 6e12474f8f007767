"""The least value over a product of grids, coarse to fine.

The search is a heuristic: every point of the grids is equally valid, so missing the best one costs tightness only.
"""

import functools
import itertools
import math

COARSE_POINTS = 5  # at most so many along each axis in the first pass


def least_on_grid(value, shape, preview=None):
    """(index, value) of a point that none of its neighbours, diagonal ones included, is below.

    `value` and `preview` take one tuple of indices. The first pass visits a coarse grid with `preview`, a cheap stand-in
    for `value`; the second moves to the best neighbour while that goes down, and halves its strides where it does not.
    """
    at = functools.cache(value)
    strides = [math.ceil(size / COARSE_POINTS) for size in shape]
    best = min(itertools.product(*(range(stride // 2, size, stride) for size, stride in zip(shape, strides))), key=preview or at)
    while True:
        candidate = min(_around(best, strides, shape), key=at)
        if at(candidate) < at(best):
            best = candidate
        elif max(strides) == 1:
            return best, at(best)
        else:
            strides = [(stride + 1) // 2 for stride in strides]


def _around(index, strides, shape):
    """Neighbours within the grid, the point itself among them; those that share the first index stand together."""
    along = [sorted({min(max(i + move, 0), size - 1) for move in (-stride, 0, stride)}) for i, stride, size in zip(index, strides, shape)]
    return itertools.product(*along)
