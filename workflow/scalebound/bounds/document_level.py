"""The bound for documents (Lotfi, Finzi, Kuang, Rudner, Goldblum, Wilson, "Non-Vacuous Generalization Bounds for Large
Language Models", ICML 2024, arXiv 2312.17173).

The loss of a document is the mean smoothed loss of its tokens. What is assumed: the m training documents are independent
draws from one distribution. What is bounded: the expected loss of a new document, in which a short document counts as
much as a long one. It is not the mean over tokens that the other bounds are about, and m is far smaller than n.
"""

from dataclasses import dataclass

import numpy as np

from scalebound.bounds import smoothing
from scalebound.bounds.azuma import azuma_bound
from scalebound.bounds.complexity import complexity
from scalebound.errors import InputError


@dataclass(frozen=True)
class DocumentBound:
    """The bound and the mean loss of a document at the best alpha of the grid, in nats; C is per document, `length` the interval's."""

    bound: float
    mean_loss: float
    alpha: float
    length: float
    C: float


def interval_length(alpha, vocab_size):
    """Length of the interval that smoothed losses lie in, log(1 + (1 - a) V / a), in nats; means over tokens lie in it too."""
    return np.log1p((1 - alpha) * vocab_size / alpha)


def document_bound(nll, weights, documents, vocab_size, code_length_bits, failure_probability, alphas):
    """mean loss of a document + length sqrt(C / 2), C = (L log 2 + log(|G_a| / d)) / m, least over the grid of alpha, as a `DocumentBound`.

    Hoeffding's inequality for m independent values in an interval, with a union over hypotheses of prior mass 2^-L and
    over the grid `alphas`. nll, weights: float64 of one shape; the mean loss of a document is the mean of the tokens'
    smoothed losses under `weights` (not negative, not all zero), for which 1 / (tokens of the document) gives the mean over
    documents of their means. documents: m.

    Raises:
        InputError: no document, or weights that give no mean.
    """
    if not (weights.shape == nll.shape and np.isfinite(weights).all() and weights.min() >= 0 and weights.sum() > 0):
        raise InputError("documents", "weights that give no mean", "Each token of a whole document weighs 1 / (tokens of the document)")
    c = complexity(code_length_bits, documents, failure_probability, len(alphas))
    means = [float(np.average(smoothing.smoothed_loss(nll, alpha, vocab_size), weights=weights)) for alpha in alphas]
    lengths = [float(interval_length(alpha, vocab_size)) for alpha in alphas]
    # of Azuma's form, as a sum of independent values is a martingale too
    values = [float(azuma_bound(mean, length, c)) for mean, length in zip(means, lengths)]
    best = int(np.argmin(values))
    return DocumentBound(values[best], means[best], float(alphas[best]), lengths[best], c)
