"""The empirical Freedman inequality (the paper, Theorem 3.1), direct (F) and written as loss variation.

X are smoothed losses, Y a predictable reference, D the worst-case loss, all in nats; A = (Y - X) / D >= -1. For every s
of a grid that C pays for:  mean R <= mean Y - (D / s) (mean log(1 + s A) - C)  with the stated probability.
"""

import functools
from dataclasses import dataclass

import numpy as np

from scalebound.errors import InputError


@dataclass(frozen=True)
class Freedman:
    """The bound in nats per token, the s of the grid that attains it, and Sigma, the loss variation, at that s."""

    value: float
    s: float
    sigma: float


def scaled_difference(losses, reference, worst):
    """A = (Y - X) / D, float64. Raises InputError when values are not finite or X exceeds D, where no bound holds."""
    losses, reference = np.asarray(losses, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if not (np.isfinite(losses).all() and np.isfinite(reference).all()):
        raise InputError("scores", "a loss or entropy is NaN or infinite", "Score the checkpoint again")
    if reference.min() < 0 or losses.max() > worst * (1 + 1e-12):
        found = f"reference down to {reference.min()}, loss up to {losses.max()}, worst case {worst}"
        raise InputError("scores", found, "The reference must be non-negative and losses smoothed with the same alpha and V")
    return (reference - losses) / worst


def bound_at(s, difference, mean_reference, worst, c):
    """(F) at one s: mean Y - (D / s) (mean log(1 + s A) - C)."""
    return mean_reference - worst / s * (np.mean(np.log1p(s * difference)) - c)


def variation_at(s, difference, worst, c):
    """Sigma at one s: D sqrt(C) (1 - s) / s + (D / sqrt(C)) mean v(s A) / s with v(t) = t - log(1 + t)."""
    root = np.sqrt(c)
    t = s * difference
    return worst * root * (1 - s) / s + worst / root * np.mean(t - np.log1p(t)) / s


def freedman_bound(losses, reference, worst, c, s_grid, start=0):
    """The least (F) over the grid, as `Freedman`; `start` is where in the grid the search begins (a guess).

    C - mean log(1 + s A) is convex in s, and a convex function over s is quasi-convex: what is not below its neighbours
    is the minimum. The search gallops from `start` in the direction that goes down and halves what it has passed, so
    that it visits few points; each visit is a pass over all tokens.
    """
    difference = scaled_difference(losses, reference, worst)
    mean_reference = float(np.mean(reference, dtype=np.float64))

    @functools.cache
    def value(i):
        return bound_at(s_grid[i], difference, mean_reference, worst, c)

    best = _least(value, len(s_grid), start)
    s = float(s_grid[best])
    return Freedman(float(value(best)), s, float(variation_at(s, difference, worst, c)))


def _least(value, count, start):
    """Index of the least value of a quasi-convex function on 0 .. count - 1."""
    low, high = _bracket(value, count, min(max(start, 0), count - 1))
    while low < high:
        middle = (low + high) // 2
        if value(middle) <= value(middle + 1):
            high = middle
        else:
            low = middle + 1
    return low


def _bracket(value, count, start):
    """(low, high) that hold the least value, found by steps that double while they go down."""
    direction = 1 if start + 1 < count and value(start + 1) < value(start) else -1
    here, step = start, 1
    while 0 <= here + direction * step < count and value(here + direction * step) < value(here):
        here, step = here + direction * step, 2 * step
    return max(0, here - step), min(count - 1, here + step)


def bound_from_variation(mean_loss, worst, c, sigma):
    """The paper's form of the same bound: mean X + D C + Sigma sqrt(C)."""
    return mean_loss + worst * c + sigma * np.sqrt(c)
