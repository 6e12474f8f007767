"""A parameter as integers: what the message carries, and how the decoder turns it back into weights (numpy only)."""

from dataclasses import dataclass

import numpy as np

from scalebound.errors import InputError
from scalebound.quantization import rotation


@dataclass(frozen=True)
class IntegerTensor:
    """Uniform grid codes of a matrix [rows, columns].

    codes: uint8 [rows, columns], below 2**bits. scales: float16 and zeros: uint8, both [rows, groups], where a group
    is `group` adjacent columns (the last may be shorter). seed: that of the basis in which the codes are those of the
    matrix (rotation.py), None for its own.
    """

    codes: np.ndarray
    scales: np.ndarray
    zeros: np.ndarray
    bits: int
    group: int
    seed: int | None = None

    def dequantize(self):
        """Weights float32 [rows, columns]: (code - zero) * scale, one exact subtraction and one rounded product, turned back."""
        weights = self.codes.astype(np.float32)
        weights -= self._by_column(self.zeros)
        weights *= self._by_column(self.scales)
        return weights if self.seed is None else rotation.unrotate(weights, self.seed)

    def _by_column(self, values):
        """float32 [rows, columns] of [rows, groups]; of one group a row, [rows, 1]."""
        values = values.astype(np.float32)
        return values if values.shape[1] == 1 else np.repeat(values, self.group, axis=1)[:, : self.codes.shape[1]]


def group_width(columns, group):
    """Columns per scale: `group`, or all of them when `group` is 0 or larger than the matrix."""
    return columns if group == 0 else min(group, columns)


def matrix_view(shape, use):
    """[rows, columns] that a parameter of `shape` is quantized as; conv1d weights are transposed to [out, in], fused matrices lie one below the other."""
    if use == "vector":
        return 1, int(np.prod(shape, dtype=np.int64))
    if use == "fused":
        return shape[0] * shape[1], shape[2]
    if use == "conv1d":
        return shape[1], shape[0]
    return shape[0], int(np.prod(shape[1:], dtype=np.int64))


def to_matrix(weight, use):
    """A parameter (numpy or torch) as the [rows, columns] matrix that is quantized."""
    return (weight.T if use == "conv1d" else weight).reshape(matrix_view(tuple(weight.shape), use))


def from_matrix(matrix, shape, use):
    """Inverse of `to_matrix` for a parameter of `shape`."""
    return matrix.T if use == "conv1d" else matrix.reshape(tuple(shape))


def check(tensor, name):
    """Raise InputError unless codes, scales and zeros fit together and every weight they stand for is finite."""
    rows, columns = tensor.codes.shape
    groups = -(-columns // tensor.group)
    if tensor.scales.shape != (rows, groups) or tensor.zeros.shape != (rows, groups):
        raise InputError(name, f"scales {tensor.scales.shape}, zeros {tensor.zeros.shape}, expected {(rows, groups)}", "Quantize again")
    if not np.isfinite(tensor.scales).all():
        raise InputError(name, "a scale is NaN or infinite in float16", "Check the checkpoint's weights")
    if tensor.seed is not None and not 0 <= tensor.seed < rotation.SEED_LIMIT:
        raise InputError(name, f"seed {tensor.seed} of its basis", f"Choose one from 0 to {rotation.SEED_LIMIT - 1}")
    if max(tensor.codes.max(initial=0), tensor.zeros.max(initial=0)) >= 2**tensor.bits:
        raise InputError(name, f"a code or zero point needs more than {tensor.bits} bits", "Quantize again")
