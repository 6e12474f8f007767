"""Step exponents of a tensor from sensitivities: coarse for rows and columns, fine for the tensor's own."""

import numpy as np

from scalebound.quantization.rate.steps import HIGHEST, LOWEST, exponents

REACH = 24  # rows and columns stay within six octaves of their tensor's step


def split_exponents(row_sizes, column_sizes, offset, stride):
    """(base, row exponents int16 [rows], column exponents int16 [columns]) nearest to row_sizes x column_sizes x 2^(offset/4).

    Rows and columns move in multiples of `stride` around their medians; with stride 0 they do not move.
    """
    rows, row_middle = _around_median(exponents(row_sizes), stride)
    columns, column_middle = _around_median(exponents(column_sizes), stride)
    base = int(np.clip(offset + row_middle + column_middle, LOWEST + 2 * REACH, HIGHEST - 2 * REACH))
    return base, rows, columns


def _around_median(found, stride):
    middle = int(np.sort(found)[len(found) // 2])
    if stride == 0:
        return np.zeros(len(found), dtype=np.int16), int(np.rint(found.mean()))
    deviations = np.clip(found - middle, -REACH, REACH)
    return (np.rint(deviations / stride) * stride).astype(np.int16), middle
