"""Chinchilla's law, loss(N, D) = E + A N^-alpha + B D^-beta, in nats per token: published constants, and a fit to a family.

The fit minimises the Huber loss of log loss as Hoffmann et al. do (their approach 3, Huber parameter 10^-3), from a grid of
starts; its uncertainty is a bootstrap over points, stratified by run.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.special import logsumexp

from scalebound.errors import InputError

HUBER = 1e-3
CONSTANTS = ("E", "A", "B", "alpha", "beta")
STARTS = {"a": (0, 5, 10), "b": (0, 5, 10), "e": (-1, 0.5), "alpha": (0.35,), "beta": (0.35,)}
# exponents beyond these, or logarithms of constants, are no laws any more: a fit that ends here says that it is at an edge
LIMITS = ((-20, 40), (-20, 40), (-10, 3), (0.01, 2.0), (0.01, 2.0))
EDGE = 1e-3


@dataclass(frozen=True)
class Law:
    """Constants of the law; `E` in nats per token. N counts parameters, D training tokens."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def loss(self, parameters, tokens):
        """Nats per token, in the broadcast shape of N and D."""
        return self.E + self.A * np.asarray(parameters, dtype=np.float64) ** -self.alpha + self.B * np.asarray(tokens, dtype=np.float64) ** -self.beta

    def information(self, tokens):
        """K(h) ~ beta / (1 - beta) B D^(1 - beta), in nats: the area between the loss curve and its final value.

        Raises:
            InputError: beta >= 1, where the area is infinite.
        """
        if self.beta >= 1:
            raise InputError("scaling law", f"beta {self.beta:.3g}", "With beta of 1 or more the information integral diverges")
        return self.beta / (1 - self.beta) * self.B * np.asarray(tokens, dtype=np.float64) ** (1 - self.beta)


PUBLISHED = {
    # Hoffmann et al., "Training Compute-Optimal Large Language Models", 2022, arXiv:2203.15556
    "Hoffmann et al. 2022": Law(1.69, 406.4, 410.7, 0.34, 0.28),
    # Besiroglu et al., "Chinchilla Scaling: A replication attempt", 2024, arXiv:2404.10102
    "Besiroglu et al. 2024": Law(1.8172, 482.01, 2085.43, 0.3478, 0.3658),
}


@dataclass(frozen=True)
class Fit:
    """The law, its summed Huber loss of log loss, whether a constant ended at a limit of the search, and (low, high) of each constant."""

    law: Law
    objective: float
    at_edge: bool
    intervals: dict


def fit(parameters, tokens, losses, groups, bootstrap, seed, level=0.95):
    """The law of points (N, D, loss), arrays [points]; `groups` [points] names the run of each.

    `bootstrap` resamples of the points of each run, drawn from `seed`, give percentile intervals of `level`; the points of
    one run depend on each other, which this does not see, so the intervals are too narrow rather than too wide.

    Raises:
        InputError: fewer points than twice the constants, or only one size.
    """
    n, d, target = np.log(np.asarray(parameters, dtype=float)), np.log(np.asarray(tokens, dtype=float)), np.log(np.asarray(losses, dtype=float))
    if len(target) < 2 * len(CONSTANTS) or len(np.unique(n)) < 2:
        raise InputError("scaling law", f"{len(target)} points of {len(np.unique(n))} sizes", "Give at least ten points of two sizes")
    best = min((_descend(start, n, d, target) for start in itertools.product(*STARTS.values())), key=lambda found: found.cost)
    groups, random, found = np.asarray(groups), np.random.default_rng(seed), []
    members = [np.flatnonzero(groups == name) for name in np.unique(groups)]
    for _ in range(bootstrap):
        chosen = np.concatenate([random.choice(places, len(places)) for places in members])
        found.append(_descend(best.x, n[chosen], d[chosen], target[chosen]).x)
    tail = 50 * (1 - level)
    ends = np.percentile([list(_law(x).__dict__.values()) for x in found], [tail, 100 - tail], axis=0) if found else np.full((2, 5), np.nan)
    edge = any(min(value - low, high - value) < EDGE * (high - low) for value, (low, high) in zip(best.x, LIMITS))
    intervals = {name: (float(ends[0, k]), float(ends[1, k])) for k, name in enumerate(CONSTANTS)}
    return Fit(_law(best.x), float(best.cost), bool(edge), intervals)


def _descend(start, n, d, target):
    low, high = np.transpose(LIMITS)
    return least_squares(_error, start, _slopes, (low, high), x_scale="jac", loss="huber", f_scale=HUBER, args=(n, d, target))


def _error(x, n, d, target):
    """Predicted minus observed log loss at x = (log A, log B, log E, alpha, beta), [points]."""
    return logsumexp(_parts(x, n, d), axis=0) - target


def _slopes(x, n, d, target):
    """Its derivatives, [points, 5]."""
    parts = _parts(x, n, d)
    share = np.exp(parts - logsumexp(parts, axis=0))
    return np.stack([share[0], share[1], share[2], -share[0] * n, -share[1] * d], axis=1)


def _parts(x, n, d):
    a, b, e, alpha, beta = x
    return np.stack([a - alpha * n, b - beta * d, np.full_like(n, e)])


def _law(x):
    a, b, e, alpha, beta = (float(value) for value in x)
    return Law(float(np.exp(e)), float(np.exp(a)), float(np.exp(b)), alpha, beta)
