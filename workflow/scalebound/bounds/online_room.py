"""Both halves of (D) as the mean over windows of one bounded value, plus a constant (theory, section 13, with its section 6).

With a constant ceiling A for Y, ceilings b for Z = X - Y, and weights w0, w1 > 0, one token's value is

    f = A - w0 log(A - Y) + b - w1 log(b - X + Y),

and (D) is at most the population mean of f plus -w0 (1 - log w0 - C0) - w1 (1 - log w1 - C): each half of (D) lies below its
tangent (`geometric.tangent`). Y enters the first half with a plus and the second with a minus, so that the range of the sum is
narrower than the sum of the ranges; it is worked out here.

The domain. X is in [x0, D_a], x0 = -log(1 - a + a/V); Y in [y0, D_b], y0 = -log(1 - b + b/V); b = max(m + floor, t) with m at least
X - Y and 0, at most M = D_a - y0. So b is in [max(t', X - Y + floor), B] with t' = max(t, floor), B = max(t, M + floor). All of
these are linear in (X, Y, b): the domain is a polytope, and f is convex on it, a sum of linear terms and of -log of linear ones.

The largest value. A convex function is largest at a vertex. f rises with X as long as b allows; where b = X - Y + floor stops
it, f = A - w0 log(A - Y) + X - Y + floor - w1 log(floor) along that face still rises with X. So X = D_a, and what is left is a
polygon in (Y, b): Y in [y0, D_b], b between max(t', D_a - Y + floor) and B. Its vertices have Y at an end, or where the two lower
limits of b meet, Y = D_a + floor - t', and b at its limits. With three tokens or more some distributions attain it, or nearly.

The least value. f falls with X, and a smaller X only widens the limits of b: X = x0. Over b, the term b - w1 log(b - Z) is convex
with its least at b = Z + w1, or at the limit nearest to that. What is left, F(Y), is convex (the least of a convex function over
some of its arguments). Its pieces have b = Z + w1 or b = Z + floor, where the second half is -Y plus a constant, or b at a limit
beta = t' or B. F is least at an end, where the derivative of a piece vanishes, which is at

    w0 / (A - Y) = 1                       Y = A - w0
    w0 / (A - Y) = w1 / (beta - x0 + Y)    Y = (w1 A - w0 (beta - x0)) / (w0 + w1),

or at the one place where the derivative jumps: between b = t' and b = Z + floor, Y = x0 + floor - t'. Every candidate that is
moved into [y0, D_b] has a value of F, none below the least, and the least is among them.

A window's mean lies between the same two numbers.
"""

import math
from dataclasses import dataclass

import numpy as np

from scalebound.bounds import smoothing
from scalebound.bounds.geometric import tangent
from scalebound.bounds.linearization import LEAST_WIDTH, BoundedMean, WindowMeans
from scalebound.bounds.online_scores import largest_possible, reference_alpha, reference_ceiling


@dataclass(frozen=True)
class Limits:
    """What the range depends on, in nats: (least, largest) X and Y, the ceiling A of Y, and t, floor and M of the ceilings of Z."""

    losses: tuple
    reference_losses: tuple
    reference_ceiling: float
    level: float
    floor: float
    largest: float

    def value_range(self, weights):
        """(least, largest) value of a token with weights (w0, w1), by the argument above."""
        w0, w1 = weights
        (x0, worst), (y0, worst_reference), top = self.losses, self.reference_losses, self.reference_ceiling
        lower, upper = max(self.level, self.floor), max(self.level, self.largest + self.floor)

        def value(x, y, b):
            return top - w0 * math.log(top - y) + b - w1 * math.log(b - x + y)

        def within(y):
            return min(max(y, y0), worst_reference)

        def lowest(x, y):
            return max(lower, x - y + self.floor)

        high = max(value(worst, y, b) for y in (y0, worst_reference, within(worst + self.floor - lower)) for b in (lowest(worst, y), upper))
        stationary = [top - w0, *((w1 * top - w0 * (beta - x0)) / (w0 + w1) for beta in (lower, upper)), x0 + self.floor - lower]
        low = min(value(x0, y, min(max(x0 - y + w1, lowest(x0, y)), upper)) for y in (y0, worst_reference, *map(within, stationary)))
        return low, high


@dataclass(frozen=True)
class OnlineRoom:
    """`WindowMeans` of both halves, Y under its ceiling and Z under its own, and the `Limits` of a token; weights and C come in pairs."""

    reference: WindowMeans
    difference: WindowMeans
    limits: Limits

    @property
    def loss(self):
        """X by window: what Y and Z add up to."""
        return self.reference.loss + self.difference.loss

    def geometric(self, c):
        """(D) with means over these windows, a plug-in; `c` is (C0, C)."""
        return self.reference.geometric(c[0]) + self.difference.geometric(c[1])

    def tangent(self, weights, c):
        """Both tangents with means over these windows: a plug-in."""
        return self.reference.tangent(weights[0], c[0]) + self.difference.tangent(weights[1], c[1])

    def touching_weight(self, c):
        """Of the tangents that touch both halves at the means over these windows, float64 [2]."""
        return np.array([self.reference.touching_weight(c[0]), self.difference.touching_weight(c[1])])

    def linearized(self, weights, c):
        """The same tangents as one `BoundedMean`."""
        halves = self.reference, self.difference
        low, high = self.limits.value_range(weights)
        values = sum(half.ceiling - weight * half.log_room for half, weight in zip(halves, weights))
        # as for one half: vanishing weights leave no range, and a bet needs some
        return BoundedMean(values, low, max(high, low + LEAST_WIDTH), sum(tangent(0.0, 0.0, weight, each) for weight, each in zip(weights, c)))


def online_room(point, scores):
    """`OnlineRoom` of `OnlineScores` at one point {alpha, floor, level, reference_level} of the grids."""
    alpha, vocab_size = point["alpha"], scores.vocab_size
    halves = [_means(point, part) for part in scores.parts()]
    limits = Limits(
        losses=smoothing.smoothed_range(alpha, vocab_size),
        reference_losses=smoothing.smoothed_range(reference_alpha(alpha), vocab_size),
        reference_ceiling=float(reference_ceiling(alpha, point["reference_level"], vocab_size)),
        level=point["level"],
        floor=point["floor"],
        largest=largest_possible(alpha, vocab_size),
    )
    return OnlineRoom(*(WindowMeans.joined([*half]) for half in zip(*halves)), limits)


def _means(point, scores):
    """`WindowMeans` of Y and of Z."""
    ceiling = np.maximum(scores.largest_differences(point["alpha"]) + point["floor"], point["level"])
    return scores.reference_means(point["alpha"], point["reference_level"]), WindowMeans.under(ceiling, scores.differences(point["alpha"]))
