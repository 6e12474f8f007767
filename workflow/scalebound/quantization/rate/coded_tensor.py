"""A parameter as unbounded integers on a uniform grid whose step varies by row and by column (numpy only)."""

from dataclasses import dataclass

import numpy as np

from scalebound.errors import InputError
from scalebound.quantization.rate.steps import HIGHEST, LOWEST, step_sizes

LARGEST_CODE = 2**24  # a code is exact in float32


@dataclass(frozen=True)
class CodedTensor:
    """Codes of a matrix [rows, columns]; a vector is one row.

    codes: int32 [rows, columns]. base: exponent of the tensor's step. row_exponents: int16 [rows] and column_exponents:
    int16 [columns], added to it. offset: 0 or 1, what a code of zero stands for (1 for the gains of norms).
    """

    codes: np.ndarray
    base: int
    row_exponents: np.ndarray
    column_exponents: np.ndarray
    offset: int = 0

    def steps(self):
        """float32 [rows, columns]."""
        return step_sizes(self.base + self.row_exponents.astype(np.int64)[:, None] + self.column_exponents.astype(np.int64)[None])

    def dequantize(self):
        """Weights float32 [rows, columns]: one rounded product and one rounded sum of an exact code."""
        return self.codes.astype(np.float32) * self.steps() + np.float32(self.offset)


def check(tensor, name):
    """Raise InputError unless codes and exponents fit together and every weight they stand for is finite."""
    rows, columns = tensor.codes.shape
    if tensor.row_exponents.shape != (rows,) or tensor.column_exponents.shape != (columns,):
        shapes = tensor.row_exponents.shape, tensor.column_exponents.shape
        raise InputError(name, f"exponents of shapes {shapes}, expected {(rows,), (columns,)}", "Quantize again")
    if tensor.offset not in (0, 1):
        raise InputError(name, f"offset {tensor.offset}, expected 0 or 1", "Quantize again")
    if tensor.codes.size == 0:
        return
    if max(-int(tensor.codes.min()), int(tensor.codes.max())) > LARGEST_CODE:
        raise InputError(name, f"a code beyond {LARGEST_CODE}", "Use a larger step, or check the checkpoint's weights")
    low, high = (tensor.base + int(f(tensor.row_exponents)) + int(f(tensor.column_exponents)) for f in (np.min, np.max))
    if low < LOWEST or high > HIGHEST:
        raise InputError(name, f"step exponents {low} to {high}, expected {LOWEST} to {HIGHEST}", "Check the checkpoint's weights")
