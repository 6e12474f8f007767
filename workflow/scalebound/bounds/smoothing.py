"""Prediction smoothing: a share alpha of the probability is spread evenly, so that no token's loss is unbounded."""

import numpy as np


def smoothed_loss(nll, alpha, vocab_size):
    """X(a) = -log((1 - a) exp(-nll) + a / V), in nats, same shape as `nll`; at most `worst_case_loss`."""
    return -np.logaddexp(np.log1p(-alpha) - nll, np.log(alpha / vocab_size))


def worst_case_loss(alpha, vocab_size):
    """D_a = log(V / a): the largest smoothed loss, in nats (the paper's Delta)."""
    return np.log(vocab_size / alpha)


def smoothed_range(alpha, vocab_size):
    """(least, largest) smoothed loss that any distribution and token can have, in nats: -log(1 - a + a / V) and D_a."""
    return float(smoothed_loss(0.0, alpha, vocab_size)), float(worst_case_loss(alpha, vocab_size))


def reference_loss(entropy, alpha):
    """Y = H - log(1 - a), in nats: predictable, non-negative, and about the loss that the model expects of itself."""
    return entropy - np.log1p(-alpha)


def closed_form_alpha(c):
    """a = C / (1 + C), which minimises -log(1 - a) + C log(V / a) (the paper, Theorem 3.4)."""
    return c / (1 + c)


def smoothing_cost(c):
    """The exact cost of smoothing at the closed-form alpha beyond C log V: (1 + C) log(1 + C) - C log C, in nats."""
    return (1 + c) * np.log1p(c) - c * np.log(c)


def smoothing_cost_sqrt(c):
    """sqrt(2 C), in nats: the paper's upper bound of `smoothing_cost`."""
    return np.sqrt(2 * c)
