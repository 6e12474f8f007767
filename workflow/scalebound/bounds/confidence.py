"""Upper confidence bounds for the mean of independent, identically distributed values in [0, largest].

In a certificate a value belongs to one window of the draw, never to one token: tokens of a window are not independent.
Each bound holds with probability 1 - d. Values and bounds are in the same unit, here nats.
"""

import math

import numpy as np

from scalebound.bounds.geometric import from_means, geometric_bound
from scalebound.errors import InputError

NAMES = ("betting", "empirical_bernstein", "hoeffding")

# A bet's ceiling is the largest value plus a multiple of the range between these.
LEAST_ROOM, MOST_ROOM = 1e-6, 1e6
STAGES, POINTS = 4, 17  # of the search for it: the distance is found to about half a percent


def betting_upper(values, largest, ceiling, failure_probability):
    """(G) with one constant ceiling above `largest`: a betting bound (Waudby-Smith and Ramdas 2024) with a fixed bet.

    The ceiling must not depend on `values`. Raises InputError when it does not exceed `largest` or a value is outside
    [0, largest].
    """
    values = _checked(values, largest)
    if not ceiling > largest:
        raise InputError("ceiling", f"{ceiling}, not above the largest value {largest}", "Take a ceiling above the range")
    return geometric_bound(ceiling, values, math.log(1 / failure_probability) / len(values))


def best_ceiling(pilot, largest, count, failure_probability):
    """The ceiling that would give the least `betting_upper` if `count` values looked like `pilot`.

    (G) is convex in a constant ceiling, so that one search along the logarithm of its distance from `largest` finds it.
    """
    return _best_bet(pilot, largest, count, failure_probability)[0]


def forecast(name, pilot, largest, count, failure_probability):
    """What the bound `name` would be if `count` values looked like `pilot`: for choices on the pilot, no bound itself."""
    if name == "betting":
        return _best_bet(pilot, largest, count, failure_probability)[1]
    pilot = _checked(pilot, largest)
    if name == "hoeffding":
        return pilot.mean() + largest * _hoeffding_width(count, failure_probability)
    return pilot.mean() + _bernstein_width(pilot.var(ddof=1), largest, count, failure_probability)


def _best_bet(pilot, largest, count, failure_probability):
    """(ceiling, bound): a grid of distances that closes in on the least of a convex function."""
    pilot, c = _checked(pilot, largest), math.log(1 / failure_probability) / count
    low, high = math.log(LEAST_ROOM), math.log(MOST_ROOM)
    for _ in range(STAGES):
        distances = np.linspace(low, high, POINTS)
        ceilings = largest * (1 + np.exp(distances))
        bounds = from_means(ceilings, np.log(ceilings[:, None] - pilot).mean(axis=1), c)
        best = int(np.argmin(bounds))
        low, high = distances[max(best - 1, 0)], distances[min(best + 1, POINTS - 1)]
    return float(ceilings[best]), float(bounds[best])


def empirical_bernstein_upper(values, largest, failure_probability):
    """mean + sqrt(2 V log(2/d) / m) + 7 largest log(2/d) / (3 (m - 1)), V the sample variance (Maurer and Pontil 2009, Theorem 4)."""
    values = _checked(values, largest)
    if len(values) < 2:
        raise InputError("windows", str(len(values)), "Empirical Bernstein needs at least two")
    return float(values.mean() + _bernstein_width(values.var(ddof=1), largest, len(values), failure_probability))


def hoeffding_upper(values, largest, failure_probability):
    """mean + largest sqrt(log(1/d) / (2 m)) (Hoeffding 1963)."""
    values = _checked(values, largest)
    return float(values.mean() + largest * _hoeffding_width(len(values), failure_probability))


def _bernstein_width(variance, largest, count, failure_probability):
    cost = math.log(2 / failure_probability)
    return math.sqrt(2 * variance * cost / count) + 7 * largest * cost / (3 * (count - 1))


def _hoeffding_width(count, failure_probability):
    return math.sqrt(math.log(1 / failure_probability) / (2 * count))


def _checked(values, largest):
    values = np.asarray(values, dtype=np.float64)
    slack = 1e-9 * largest  # rounding of values that attain an end of the range
    # written so that NaN fails it
    if not (values.ndim == 1 and len(values) and values.min() >= -slack and values.max() <= largest + slack):
        raise InputError("values", f"not all in [0, {largest}]", "The range must cover every value that could occur")
    return np.clip(values, 0, largest)


def pilot_bet_upper(values, width, pilot_share, failure_probability):
    """`betting_upper` of the mean of values in [0, width], [m], with the bet that the first `pilot_share` of them choose for the others."""
    pilot = max(2, int(pilot_share * len(values)))
    bet = best_ceiling(values[:pilot], width, len(values) - pilot, failure_probability)
    return float(betting_upper(values[pilot:], width, bet, failure_probability))
