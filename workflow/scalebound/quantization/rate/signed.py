"""Signed integers as capped magnitudes under a model, remainders above the cap, and signs."""

import numpy as np

from scalebound.quantization.rate import signs, wavefront
from scalebound.quantization.rate.wavefront import UNIT, Frequencies

_LENGTHS = 26  # remainders have fewer bits than this
_RAW = 8  # raw bits coded at once


class SignedModel:
    """What is learned about the integers of one kind of tensor and carries over to the next: frequencies and a mean.

    `exact`: no magnitude is above `cap`, so there are no remainders.
    """

    def __init__(self, cap, exact=False):
        self.cap, self.exact, self.mean, self.frequencies = cap, exact, UNIT, Frequencies(cap + 1)
        self.lengths = np.array([[max(1, 1024 >> k) for k in range(_LENGTHS)]], dtype=np.int64)

    def code(self, coder, values, plain=False):
        """Code int32 `values` of any shape; returns them (what was read, when `coder` reads). `plain`: rows and columns are ignored."""
        if coder.compiled:
            return coder.signed(self, values, plain)
        magnitudes = self.code_magnitudes(coder, values, plain)
        negative = signs.code_signs(coder, np.atleast_2d(magnitudes), np.atleast_2d(values < 0))
        np.negative(magnitudes, out=magnitudes, where=negative.reshape(magnitudes.shape))
        return magnitudes

    def code_magnitudes(self, coder, values, plain):
        """The same for all but the signs: int32 >= 0."""
        if coder.compiled:
            return coder.magnitudes(self, values, plain)
        self.frequencies.relax()
        magnitudes = np.minimum(np.abs(values), self.cap)
        flat, given = magnitudes.reshape(-1), values.reshape(-1)
        if plain or values.ndim < 2:
            self.mean = wavefront.code_vector(coder, flat, self.frequencies, self.mean)
        else:
            self.mean = wavefront.code_matrix(coder, magnitudes, self.frequencies, self.mean)
        if not self.exact:
            large = np.flatnonzero(flat == self.cap)
            flat[large] += self.remainders(coder, np.abs(given[large]) - self.cap)
        return magnitudes

    def remainders(self, coder, remainders):
        """Integers >= 0: the number of bits of remainder + 1 by learned frequencies, the bits below the first as they are."""
        ones = np.maximum(remainders, 0).astype(np.int64) + 1
        lengths = coder.symbols(self.lengths, np.frexp(ones.astype(np.float64))[1].astype(np.int32) - 1)
        self.lengths = self.lengths + wavefront.INCREMENT * np.bincount(lengths, minlength=_LENGTHS)[None]
        found = np.ones(len(ones), dtype=np.int64) << lengths
        for low in range(0, _LENGTHS, _RAW):
            widths = np.minimum(lengths - low, _RAW)
            for width in np.unique(widths[widths > 0]).tolist():
                some = np.flatnonzero(widths == width)
                even = np.ones((1, 1 << width), dtype=np.int64)
                found[some] |= coder.symbols(even, ones[some] >> low & ((1 << width) - 1)).astype(np.int64) << low
        return (found - 1).astype(np.int32)
