"""Scores of the decoded model on a draw of windows, checked once, with the smoothed losses of the last few alphas kept.

However many windows there are, memory is bounded: what bounds are made of are means over windows of one value a token, so
scores are gone through in parts. A search over grids looks at `held` scores, some of the windows where there are too many. That
needs no correction: C pays for every grid point, so whichever is taken, however it was found, the bound *at* it over all windows
is one that the theorem is about. What is lost is that the best point of a part may not be the best of all.
"""

import functools
import math

import numpy as np

from scalebound.bounds import smoothing
from scalebound.errors import InputError

ENTROPY_SLACK = 1e-3  # nats by which fp32 statistics may leave [0, log V]
KEPT_ALPHAS = 4
HELD_TOKENS = 2**21  # of scores that are in memory at once


class WindowScores:
    """What scores of every kind have: losses `nll`, float64 [windows, positions] in nats, `of(windows)`, the scores of some windows, and
    `joined(parts)`, scores of all windows of some."""

    def __len__(self):
        return len(self.nll)

    @property
    def positions(self):
        return self.nll.shape[1]

    def parts(self):
        """Scores of some windows each, all windows in order: what means are taken over."""
        yield self

    def held(self):
        """Scores that are in memory: all of them, or those of some windows."""
        return self

    def thinned(self, tokens):
        """Every k-th window, for about `tokens` tokens or at least eight windows."""
        return self.of(slice(None, None, max(1, min(len(self) * self.positions // tokens, len(self) // 8))))


class ScoresInParts(WindowScores):
    """Scores of more windows than are in memory at once.

    read: function that begins again: an iterator of scores of some windows each, all windows in order. chosen: those that
    count, ascending int64; None: all of them.
    """

    def __init__(self, read, windows, positions, vocab_size, chosen=None):
        self._read, self._windows, self._positions, self.vocab_size = read, windows, positions, vocab_size
        self._chosen, self._held = np.arange(windows) if chosen is None else chosen, None

    def __len__(self):
        return len(self._chosen)

    @property
    def positions(self):
        return self._positions

    def of(self, windows):
        """The scores of some windows: a slice, ascending indices, or a truth value for each."""
        return ScoresInParts(self._read, self._windows, self._positions, self.vocab_size, self._chosen[windows])

    def parts(self):
        start = 0
        for part in self._read():
            low, high = np.searchsorted(self._chosen, (start, start + len(part)))
            if high > low:
                yield part if high - low == len(part) else part.of(self._chosen[low:high] - start)
            start += len(part)

    def held(self):
        if self._held is None:
            found = list(self.thinned(HELD_TOKENS).parts())
            self._held = type(found[0]).joined(found)
        return self._held


def mean_over(scores, mean):
    """Mean over all windows of what `mean(part)` says of the windows of a part, a number or an array."""
    found = [(len(part), mean(part)) for part in scores.parts()]
    # of one part, to the last bit what it says
    return found[0][1] if len(found) == 1 else sum(count * value for count, value in found) / len(scores)


def mean_loss(scores):
    """Mean `nll` in nats."""
    return float(mean_over(scores, lambda part: part.nll.mean()))


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
        """The scores of some windows: a slice, indices, or a truth value for each."""
        return TokenScores(self.nll[windows], self.entropy[windows], self.vocab_size)

    @classmethod
    def joined(cls, parts):
        if len(parts) == 1:
            return parts[0]
        nll, entropy = (np.concatenate([getattr(part, name) for part in parts]) for name in ("nll", "entropy"))
        return cls(nll, entropy, parts[0].vocab_size)


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
