"""Scores of the decoded model h beside its online reference r, which is what the online bound (D) needs of every token.

What scoring has to deliver: one row a token as in scores.parquet (`window`, `position`; position k predicts token k + 1 of
the window), and these columns, float32, in nats. p = p(. | context) is the softmax of h, r that of the reference of the
window's row, both over the V output entries that are smoothed over; x is the token that came.

| column | value |
|---|---|
| `nll` | -log p(x), not smoothed |
| `reference_nll` | -log r(x), not smoothed; log V in a window whose row comes before the first reference (r uniform) |
| `largest_difference_0`, `_1`, ... | for each a of `alphas`: the largest over *all* v of log(((1 - b) r(v) + b / V) / ((1 - a) p(v) + a / V)), b = a / 2 |

X at any a and Y at any b follow from the first two (`smoothing.smoothed_loss`). `alphas` are those of `OnlineGrids`; the file's
identity names them. A largest difference may be too small by ROUNDING at most, as fp32 makes it; one that is too large is as
valid. It must not look at x: a largest difference that was raised to the observed one is no longer known before x is.

Measured on the ladder (20k to 106k parameters, V = 512; plug-in at C = 0.0624 and 0.139, whole stream and second half), what is
not among the columns would have gained in nats: KL(p || r) in the ceilings (t - c KL) 0.0000 to 0.0016, the entropy of r in the
reference's ceilings 0.0003 to 0.0019, b chosen apart from a 0.000 to 0.003.
"""

import functools

import numpy as np

from scalebound.bounds import smoothing
from scalebound.bounds.linearization import WindowMeans
from scalebound.bounds.token_scores import KEPT_ALPHAS, WindowScores, windows_by_positions
from scalebound.errors import InputError

ROUNDING = 1e-4  # nats that fp32 may take off a largest difference
REFERENCE_SHARE = 0.5  # b as a share of a: the reference needs less smoothing, since it is not what is divided by
KEPT_REFERENCES = 128  # window means at one point of the reference's grids


def reference_alpha(alpha):
    """b, the smoothing weight of the reference that goes with a."""
    return REFERENCE_SHARE * alpha


def reference_ceiling(alpha, level, vocab_size):
    """a = D_b + level: a constant ceiling for Y at the b that goes with alpha, in nats."""
    return smoothing.worst_case_loss(reference_alpha(alpha), vocab_size) + level


def largest_possible(alpha, vocab_size):
    """The largest difference that any two distributions have, in nats: h is sure of another token, and r of this one."""
    return smoothing.smoothed_range(alpha, vocab_size)[1] - smoothing.smoothed_range(reference_alpha(alpha), vocab_size)[0]


class OnlineScores(WindowScores):
    """The columns as float64: `nll`, `reference_nll` [windows, positions], `largest` one such array for each of `alphas`, and V.

    checked: whether these are some windows of scores that were found to be sound before.

    Raises:
        InputError: shapes that differ, values that are not finite, a negative loss, an alpha outside (0, 1), or a largest
            difference below one that occurred, below 0, or above what two distributions can have.
    """

    def __init__(self, nll, reference_nll, largest, alphas, vocab_size, checked=False):
        self.alphas, self.vocab_size = tuple(float(alpha) for alpha in alphas), vocab_size
        if len(largest) != len(self.alphas) or not all(0 < alpha < 1 for alpha in self.alphas):
            raise InputError("scores", f"{len(largest)} largest differences for alphas {self.alphas}", "One for each alpha, which is in (0, 1)")
        columns = {f"largest_difference_{k}": column for k, column in enumerate(largest)}
        self.nll, self.reference_nll, *self.largest = windows_by_positions("scores", nll=nll, reference_nll=reference_nll, **columns)
        if min(self.nll.min(), self.reference_nll.min()) < 0:
            raise InputError("scores", f"losses from {self.nll.min()}, of the reference from {self.reference_nll.min()}", "Losses are not negative")
        # of the arrays and not of the object: a method that is kept here would keep the arrays from being freed
        self.differences = functools.lru_cache(maxsize=KEPT_ALPHAS)(functools.partial(_differences, self.nll, self.reference_nll, vocab_size))
        self.reference_means = functools.lru_cache(maxsize=KEPT_REFERENCES)(functools.partial(_reference_means, self.reference_nll, vocab_size))
        for alpha, column in () if checked else zip(self.alphas, self.largest):
            self._check(alpha, column)

    def of(self, windows):
        """The scores of some windows: a slice, indices, or a truth value for each."""
        largest = [column[windows] for column in self.largest]
        return OnlineScores(self.nll[windows], self.reference_nll[windows], largest, self.alphas, self.vocab_size, checked=True)

    @classmethod
    def joined(cls, parts):
        if len(parts) == 1:
            return parts[0]
        nll, reference_nll = (np.concatenate([getattr(part, name) for part in parts]) for name in ("nll", "reference_nll"))
        largest = [np.concatenate(columns) for columns in zip(*(part.largest for part in parts))]
        return cls(nll, reference_nll, largest, parts[0].alphas, parts[0].vocab_size, checked=True)

    def largest_differences(self, alpha):
        """m at alpha, [windows, positions], never below the true one: what rounding may have taken is added."""
        if alpha not in self.alphas:
            raise InputError("scores", f"largest differences for alphas {self.alphas}", f"Score again for {alpha}, which the grids have")
        return np.clip(self.largest[self.alphas.index(alpha)] + ROUNDING, 0, largest_possible(alpha, self.vocab_size))

    def _check(self, alpha, column):
        most = largest_possible(alpha, self.vocab_size)
        if column.min() < -ROUNDING or column.max() > most + ROUNDING:
            found = f"largest differences from {column.min()} to {column.max()} nats at alpha {alpha:g}"
            raise InputError("scores", found, f"They are between 0 and {most:.6g} with V = {self.vocab_size}: check alphas and V, or score again")
        below = self.differences(alpha) > column + ROUNDING
        if below.any():
            window, position = divmod(int(below.argmax()), column.shape[1])
            found = f"at alpha {alpha:g}, window {window}, position {position} the difference {self.differences(alpha)[window, position]}"
            raise InputError("scores", f"{found} is above the stated largest, {column[window, position]}", "The columns do not belong together: score again")


def _differences(nll, reference_nll, vocab_size, alpha):
    """Z = X - Y at alpha, [windows, positions]."""
    return smoothing.smoothed_loss(nll, alpha, vocab_size) - smoothing.smoothed_loss(reference_nll, reference_alpha(alpha), vocab_size)


def _reference_means(reference_nll, vocab_size, alpha, level):
    """`WindowMeans` of Y at alpha under the constant ceiling D_b + level."""
    return WindowMeans.under(reference_ceiling(alpha, level, vocab_size), smoothing.smoothed_loss(reference_nll, reference_alpha(alpha), vocab_size))
