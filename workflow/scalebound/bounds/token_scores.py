"""Scores of the decoded model on a draw of windows, checked once, with the smoothed losses of the last few alphas kept."""

import functools
import math

import numpy as np

from scalebound.bounds import smoothing
from scalebound.errors import InputError

ENTROPY_SLACK = 1e-3  # nats by which fp32 statistics may leave [0, log V]
KEPT_ALPHAS = 4


class WindowScores:
    """What scores of every kind have: losses `nll`, float64 [windows, positions] in nats, and `of(windows)`, the scores of some windows."""

    def __len__(self):
        return len(self.nll)

    def thinned(self, tokens):
        """Every k-th window, for about `tokens` tokens or at least eight windows."""
        return self.of(slice(None, None, max(1, min(self.nll.size // tokens, len(self) // 8))))


class TokenScores(WindowScores):
    """`nll` and `entropy`, float64 [windows, positions] in nats, and the vocabulary size V that is smoothed over.

    Entropies are clipped to [0, log V], which leaves them predictable and makes the ranges of ceilings exact.

    Raises:
        InputError: shapes that differ, values that are not finite, a negative loss, an entropy out of range.
    """

    def __init__(self, nll, entropy, vocab_size):
        (nll, entropy), most = windows_by_positions("scores", losses=nll, entropies=entropy), math.log(vocab_size)
        if nll.min() < 0 or entropy.min() < -ENTROPY_SLACK or entropy.max() > most + ENTROPY_SLACK:
            found = f"losses from {nll.min()}, entropies from {entropy.min()} to {entropy.max()} nats with V = {vocab_size}"
            raise InputError("scores", found, "Losses are not negative, entropies are between 0 and log V")
        self.nll, self.entropy, self.vocab_size = nll, np.clip(entropy, 0, most), vocab_size
        self.losses = functools.lru_cache(maxsize=KEPT_ALPHAS)(functools.partial(smoothing.smoothed_loss, nll, vocab_size=vocab_size))

    def of(self, windows):
        """The scores of a slice of windows."""
        return TokenScores(self.nll[windows], self.entropy[windows], self.vocab_size)


def windows_by_positions(where, **columns):
    """The columns as float64 arrays of one shape [windows, positions].

    Raises:
        InputError: another shape, no value at all, or one that is not finite.
    """
    found = {name: np.asarray(column, dtype=np.float64) for name, column in columns.items()}
    shapes = {column.shape for column in found.values()}
    if len(shapes) > 1 or any(column.ndim != 2 or not column.size for column in found.values()):
        shown = ", ".join(f"{name} {column.shape}" for name, column in found.items())
        raise InputError(where, shown, "All must be [windows, positions] of one shape, and not empty")
    if not all(np.isfinite(column).all() for column in found.values()):
        raise InputError(where, f"one of {', '.join(found)} is NaN or infinite", "Score the checkpoint again")
    return list(found.values())
