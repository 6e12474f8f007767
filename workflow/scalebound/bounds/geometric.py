"""The geometric-mean bound (G) (theory, section 3).

For any predictable ceiling a_k above every loss that could occur, prod (a_k - X_k) / E[a_k - X_k | past] is a
non-negative martingale with mean 1. By Markov's inequality and the concavity of the logarithm,

    mean R <= mean a - exp(mean log(a - X) - C)

with the probability that C pays for: the arithmetic mean of what is left under the ceiling is at least e^-C times its
observed geometric mean.
"""

import numpy as np

from scalebound.errors import InputError


def geometric_bound(ceiling, losses, c):
    """(G) in nats per token, of ceilings and losses that broadcast to one shape, averaged over all of it.

    The ceiling must clear what *could* have occurred, not only what did; that is for whoever builds it to see to.

    Raises:
        InputError: a value that is not finite, or a loss that reaches its ceiling.
    """
    ceiling, losses = np.broadcast_arrays(np.asarray(ceiling, dtype=np.float64), np.asarray(losses, dtype=np.float64))
    room = ceiling - losses
    # written so that NaN fails it
    if not (np.isfinite(room).all() and room.min() > 0):
        raise InputError("ceiling", f"room down to {room.min()} between a loss and its ceiling", "Ceilings must be finite and above every loss")
    return float(from_means(np.mean(ceiling), np.mean(np.log(room)), c))


def from_means(mean_ceiling, mean_log_room, c):
    """(G) from mean a and mean log(a - X)."""
    return mean_ceiling - np.exp(mean_log_room - c)


def tangent(mean_ceiling, mean_log_room, weight, c):
    """The tangent of (G) in mean log(a - X), never below (G); both means enter it linearly, as a mean over windows needs.

    For any constant g0, exp(g) >= exp(g0) (1 + g - g0). With `weight` = exp(g0 - C) that gives
    mean a - weight mean log(a - X) - weight (1 - g0), and g0 = log(weight) + C. With a = Y + D / s and weight = D / s
    it is (F), the Freedman bound.
    """
    return mean_ceiling - weight * mean_log_room - weight * (1 - np.log(weight) - c)
