"""Random sources, streams of them and references that learn on the way, for the tests of bounds; the verdict on coverage."""

import math

import numpy as np
from scipy.stats import binomtest

from scalebound.bounds.online_scores import OnlineScores, reference_alpha

D = 0.05  # failure probability of every bound whose coverage is judged


def no_more_than_allowed(violated):
    """Whether a list of outcomes is compatible with a violation probability of at most D (one-sided binomial test)."""
    violated = np.asarray(violated)
    return binomtest(int(violated.sum()), len(violated), D, alternative="greater").pvalue > 1e-3


def markov_chains(transition, draws, n, rng):
    """States [draws, n + 1] of independent chains that start in state 0."""
    states, ahead = np.zeros((draws, n + 1), dtype=np.int64), np.cumsum(transition, axis=1)[:, :-1]
    for k in range(n):
        states[:, k + 1] = (rng.random(draws)[:, None] > ahead[states[:, k]]).sum(axis=1)
    return states


def smoothed(distribution, alpha):
    return (1 - alpha) * distribution + alpha / distribution.shape[-1]


def largest_of(p, r, alpha):
    """m: the largest log ratio of the smoothed distributions [..., V], over the last axis."""
    return np.log(smoothed(r, reference_alpha(alpha)) / smoothed(p, alpha)).max(axis=-1)


def scores_of(p, r, tokens, alphas):
    """`OnlineScores` of distributions p, r [windows, positions, V] at tokens [windows, positions]; probabilities of 0 count as e^-5000."""

    def nll(distribution):
        taken = np.take_along_axis(distribution, tokens[..., None], -1)[..., 0]
        return -np.log(taken, where=taken > 0, out=np.full(taken.shape, -5000.0))

    return OnlineScores(nll(p), nll(r), [largest_of(p, r, alpha) for alpha in alphas], alphas, p.shape[-1])


def counted(contexts, tokens, vocab_size, seen=0, prior=0.5):
    """r [rows, positions, V]: next-token counts of each context over the rows before (with `seen` = 1: the row itself among them).

    contexts, tokens: [rows, positions]. A row is predicted with counts that are frozen while it is read, as a checkpoint is.
    """
    counts = np.full((contexts.max() + 1, vocab_size), prior)
    found = np.empty((*tokens.shape, vocab_size))
    for row in range(len(tokens)):
        if seen:
            np.add.at(counts, (contexts[row], tokens[row]), 1)
        share = counts[contexts[row]]
        found[row] = share / share.sum(axis=1, keepdims=True)
        if not seen:
            np.add.at(counts, (contexts[row], tokens[row]), 1)
    return found


def text_like(windows, positions, seed, alphas, vocab_size=30):
    """`OnlineScores` of a model near the truth and a reference that is near to the model in some windows and far in others, as text has them."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((windows, positions, vocab_size))
    behind = rng.gamma(1.0, 0.4, (windows, 1, 1))
    p, r, q = (_softmax(logits + noise * rng.standard_normal(logits.shape)) for noise in (0.1, behind, 0.3))
    tokens = (rng.random((windows, positions, 1)) > np.cumsum(q, axis=-1)[..., :-1]).sum(axis=-1)
    return scores_of(p, r, tokens, alphas)


def _softmax(logits):
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def uniform_reference(scores, p_least):
    """The same model beside the uniform reference; `p_least` [windows, positions] is the least probability that it gives a token."""
    v = scores.vocab_size
    largest = [np.log(1 / v) - np.log((1 - alpha) * p_least + alpha / v) for alpha in scores.alphas]
    return OnlineScores(scores.nll, np.full_like(scores.nll, math.log(v)), largest, scores.alphas, v)
