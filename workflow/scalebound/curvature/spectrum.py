"""What the spectrum of a layer's input second moment H = E[z z^T] says of rounding that layer's weights (numpy only).

On incoherent weights the error of LDLQ, which is GPTQ, is bounded by a multiple of tr(H^(1/2))^2 / width, that of
rounding to nearest is a multiple of tr H (Chee, Cai, Kuleshov, De Sa, "QuIP", NeurIPS 2023, section 3). Their ratio is 1
for a flat spectrum and 1 / width for a moment of rank one: the smaller it is, the more is to be gained over rounding to nearest.
"""

import numpy as np

from scalebound.errors import InputError

# of the largest eigenvalue; moments are sums of fp32 products, whose rounding is a few times 1e-7 of it
BELOW_ZERO = 1e-5
NULL = 1e-7


def clipped(eigenvalues, where):
    """Eigenvalues of a second moment in descending order, float64, with those that rounding has made negative set to zero.

    Raises:
        InputError: one is not finite, or so far below zero that no rounding explains it.
    """
    values = np.sort(np.asarray(eigenvalues, dtype=np.float64))[::-1]
    if not len(values) or not np.isfinite(values).all():
        raise InputError(where, "no finite eigenvalues of a second moment", "Check the weights of the checkpoint")
    if values[-1] < -BELOW_ZERO * abs(values[0]):
        raise InputError(where, f"eigenvalue {values[-1]:.3g} beside a largest of {values[0]:.3g}: no second moment", "Make it again")
    return np.maximum(values, 0.0)


def rounding_ratio(values):
    """tr(H^(1/2))^2 / (width tr H) of clipped eigenvalues, between 1 / width and 1; NaN where all inputs are zero."""
    trace = values.sum()
    return float(np.sqrt(values).sum() ** 2 / (len(values) * trace)) if trace > 0 else np.nan


def effective_rank(values):
    """exp of the entropy of the normalised eigenvalues (Roy and Vetterli, EUSIPCO 2007), from 1 to the width; NaN for zero."""
    trace = values.sum()
    if not trace > 0:
        return np.nan
    share = values[values > 0] / trace
    return float(np.exp(-(share * np.log(share)).sum()))


def largest_share(values):
    """The largest eigenvalue as a share of the trace; NaN for zero."""
    trace = values.sum()
    return float(values[0] / trace) if trace > 0 else np.nan


def null_directions(values):
    """Number of eigenvalues that rounding does not tell from zero: dead inputs, and directions that no input has."""
    return int((values <= NULL * values[0]).sum())


def relative_curve(values, ranks):
    """Eigenvalues over their mean (1 everywhere for a flat spectrum) at relative ranks from 0, the largest, to 1; NaN for zero."""
    places = np.rint(np.asarray(ranks) * (len(values) - 1)).astype(int)
    mean = values.mean()
    return values[places] / mean if mean > 0 else np.full(len(places), np.nan)
