"""Random bases in which no entry of a matrix stands out: W' = U W V^T, orthogonal U and V of random signs and Hadamard transforms.

Incoherence processing of Chee et al., "QuIP", NeurIPS 2023 (arXiv:2307.13304), with the transforms of Tseng et al.,
"QuIP#", ICML 2024 (arXiv:2402.04396): an outlier is spread over its row and column before rounding, and the rounding's
error after it.

A side of width n takes random signs and a Hadamard transform of its first p entries, p the largest power of two up to n;
where p < n, then new signs and a transform of its last p. The two overlap, so that this is orthogonal and mixes
everything for any n, 100 or 2560 too, where a block-diagonal transform would mix 4 or 512 entries.

Decoding gives the same bits on every machine: sums and differences of two float32 numbers in a fixed order, and one
product with a constant for each transform; no BLAS. Signs are bits of SHAKE-256 of the seed. numpy only.
"""

import hashlib
import math
import struct

import numpy as np

OUTPUTS, INPUTS = 0, 1  # the sides: U acts on rows, V on columns
SEED_LIMIT = 2**32


def rotate(matrix, seed):
    """U W V^T of `matrix` W [rows, columns], in its own float type."""
    return turn(turn(matrix, seed, INPUTS).T, seed, OUTPUTS).T


def unrotate(matrix, seed):
    """U^T W' V, the inverse of `rotate` up to rounding; float32 in, float32 out, and the same bits everywhere."""
    return np.ascontiguousarray(turn_back(turn_back(matrix, seed, INPUTS).T, seed, OUTPUTS).T)


def rotate_moment(moment, seed):
    """V H V^T of the second moment H [columns, columns] of a layer's inputs: what `rotate`'s columns are multiplied with."""
    return turn(turn(moment, seed, INPUTS).T, seed, INPUTS)


def hadamard(rows):
    """The orthonormal Walsh-Hadamard transform of each row of `rows` [count, power of two], in its float type."""
    count, width = rows.shape
    half = 1
    while half < width:
        pairs = rows.reshape(count, width // (2 * half), 2, half)
        left, right = pairs[:, :, 0], pairs[:, :, 1]
        rows = np.stack([left + right, left - right], axis=2).reshape(count, width)
        half *= 2
    # a root is rounded correctly everywhere, a power is not
    return rows * rows.dtype.type(math.sqrt(1 / width))


def signs(seed, side, step, width):
    """Random signs, int8 [width]; `step` counts the transforms of a side."""
    label = b"scalebound rotation" + struct.pack("<IBB", seed, side, step)
    bits = np.unpackbits(np.frombuffer(hashlib.shake_256(label).digest(-(-width // 8)), dtype=np.uint8), bitorder="little")
    return 1 - 2 * bits[:width].astype(np.int8)


def turn(rows, seed, side):
    """Each row of `rows` [count, width] in the random basis of `seed` for that width and side."""
    width = rows.shape[1]
    for step, part in enumerate(_parts(width)):
        rows = rows * signs(seed, side, step, width).astype(rows.dtype)
        rows[:, part] = hadamard(rows[:, part])
    return rows


def turn_back(rows, seed, side):
    """The inverse of `turn`."""
    width = rows.shape[1]
    for step, part in reversed(list(enumerate(_parts(width)))):
        rows = rows.copy()
        rows[:, part] = hadamard(rows[:, part])
        rows = rows * signs(seed, side, step, width).astype(rows.dtype)
    return rows


def _parts(width):
    """The columns that each transform of a side of `width` covers."""
    power = 1 << (width.bit_length() - 1)
    return [slice(0, power)] if power == width else [slice(0, power), slice(width - power, width)]
