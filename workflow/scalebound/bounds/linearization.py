"""(G) and (F) as the mean over windows of one bounded value, plus a constant (theory, section 6).

The range. Let z = a - w log(a - X) be the value of one token with ceiling a, loss X and weight w > 0. It rises with X,
since dz/dX = w / (a - X), and it is convex in a, since d2z/da2 = w / (a - X)^2, with its minimum at a = X + w. Ceilings
lie in [lowest, highest] with lowest > D_a; losses lie in [-log(1 - a + a/V), D_a]. So over everything that could occur

- z is largest at X = D_a and at one of the two ends of the ceilings,
- z is least at the least loss X and at the ceiling nearest to X + w.

A window's mean lies between the same two numbers, since all of its tokens could be the worst at once. For (F), with
a = Y + D_a / s and w = D_a / s, the largest value minus the constant is the larger of -(D_a/s) log(1 - s) (taken at Y = 0;
the least reference -log(1 - a) gives slightly less) and the value at the largest reference, which is the larger one only
for a > 1/2.
"""

import math
from dataclasses import dataclass

import numpy as np

from scalebound.bounds import smoothing
from scalebound.bounds.geometric import from_means, tangent

LEAST_WIDTH = 1e-9  # nats
LEAST_WEIGHT = 1e-300


@dataclass(frozen=True)
class BoundedMean:
    """Window values, float64 [windows], in [low, high]: mean R is at most their population mean plus `constant`, in nats."""

    values: np.ndarray
    low: float
    high: float
    constant: float

    @property
    def shifted(self):
        """Values in [0, width]."""
        return self.values - self.low

    @property
    def width(self):
        return self.high - self.low

    @property
    def unshift(self):
        """What to add to a bound on the mean of `shifted`."""
        return self.low + self.constant


@dataclass(frozen=True)
class WindowMeans:
    """Losses, ceilings and log(ceiling - loss) by window: means over its positions, float64 [windows], in nats."""

    loss: np.ndarray
    ceiling: np.ndarray
    log_room: np.ndarray

    @classmethod
    def under(cls, ceiling, losses):
        """Of ceilings, a number or [windows, positions], and losses [windows, positions]."""
        return cls(losses.mean(axis=1), np.broadcast_to(ceiling, losses.shape).mean(axis=1), np.log(ceiling - losses).mean(axis=1))

    @classmethod
    def joined(cls, found):
        """Of all windows of some."""
        return found[0] if len(found) == 1 else cls(*(np.concatenate([getattr(one, name) for one in found]) for name in ("loss", "ceiling", "log_room")))

    def geometric(self, c):
        """(G) with means over these windows: a plug-in."""
        return float(from_means(self.ceiling.mean(), self.log_room.mean(), c))

    def tangent(self, weight, c):
        """The tangent of (G), or (F), with means over these windows: a plug-in."""
        return float(tangent(self.ceiling.mean(), self.log_room.mean(), weight, c))

    def touching_weight(self, c):
        """Of the tangent that touches (G) at the means over these windows; any other is as valid."""
        # exp underflows for a code that is hundreds of times longer than the data: the bound is vacuous then, not undefined
        return max(math.exp(self.log_room.mean() - c), LEAST_WEIGHT)


@dataclass(frozen=True)
class Room(WindowMeans):
    """What is left under the ceilings, with the ranges (least, largest) of losses and ceilings that could occur, in nats."""

    losses: tuple
    ceilings: tuple

    def linearized(self, weight, c):
        """The same tangent as a `BoundedMean`."""
        (least, worst), (lowest, highest) = self.losses, self.ceilings
        nearest = min(max(least + weight, lowest), highest)
        high = max(ceiling - weight * math.log(ceiling - worst) for ceiling in self.ceilings)
        low = nearest - weight * math.log(nearest - least)
        # a vanishing weight (a very large C) leaves no range; a hair more is as valid, and a bet needs some
        high = max(high, low + LEAST_WIDTH)
        return BoundedMean(self.ceiling - weight * self.log_room, low, high, tangent(0.0, 0.0, weight, c))


def room_under(family, point, scores):
    """`Room` of `TokenScores` at one point {axis: value} of a family's grids."""
    alpha, vocab_size = point["alpha"], scores.vocab_size
    means = WindowMeans.joined([WindowMeans.under(family.ceiling(part.entropy, vocab_size, point), part.losses(alpha)) for part in scores.parts()])
    return Room(
        **vars(means),
        losses=smoothing.smoothed_range(alpha, vocab_size),
        ceilings=tuple(float(family.ceiling(h, vocab_size, point)) for h in (0.0, math.log(vocab_size))),
    )
