"""Scores of the decoded model on a draw of windows, checked once, with the smoothed losses of the last few alphas kept."""

import functools
import math

import numpy as np

from scalebound.bounds import smoothing
from scalebound.errors import InputError

ENTROPY_SLACK = 1e-3  # nats by which fp32 statistics may leave [0, log V]
KEPT_ALPHAS = 4


class TokenScores:
    """`nll` and `entropy`, float64 [windows, positions] in nats, and the vocabulary size V that is smoothed over.

    Entropies are clipped to [0, log V], which leaves them predictable and makes the ranges of ceilings exact.

    Raises:
        InputError: shapes that differ, values that are not finite, a negative loss, an entropy out of range.
    """

    def __init__(self, nll, entropy, vocab_size):
        nll, entropy, most = np.asarray(nll, dtype=np.float64), np.asarray(entropy, dtype=np.float64), math.log(vocab_size)
        if nll.ndim != 2 or nll.shape != entropy.shape or not nll.size:
            raise InputError("scores", f"losses {nll.shape}, entropies {entropy.shape}", "Both must be [windows, positions], and not empty")
        if not (np.isfinite(nll).all() and np.isfinite(entropy).all()):
            raise InputError("scores", "a loss or entropy is NaN or infinite", "Score the checkpoint again")
        if nll.min() < 0 or entropy.min() < -ENTROPY_SLACK or entropy.max() > most + ENTROPY_SLACK:
            found = f"losses from {nll.min()}, entropies from {entropy.min()} to {entropy.max()} nats with V = {vocab_size}"
            raise InputError("scores", found, "Losses are not negative, entropies are between 0 and log V")
        self.nll, self.entropy, self.vocab_size = nll, np.clip(entropy, 0, most), vocab_size
        self.losses = functools.lru_cache(maxsize=KEPT_ALPHAS)(functools.partial(smoothing.smoothed_loss, nll, vocab_size=vocab_size))

    def __len__(self):
        return len(self.nll)

    def of(self, windows):
        """The scores of a slice of windows."""
        return TokenScores(self.nll[windows], self.entropy[windows], self.vocab_size)

    def thinned(self, tokens):
        """Every k-th window, for about `tokens` tokens or at least eight windows."""
        return self.of(slice(None, None, max(1, min(self.nll.size // tokens, len(self) // 8))))
