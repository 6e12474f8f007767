"""Signs of a matrix, row by row: each is guessed from the signs above it in its column.

Rows of an output head that belong to rare tokens point the same way; elsewhere the guess learns that it knows nothing.
"""

import numpy as np

INCREMENT = 16
LARGEST_TOTAL = 1 << 16
EDGES = np.array([-16, -8, -4, -2, 0, 1, 3, 5, 9, 17], dtype=np.int64)  # of (positive - negative) signs so far
_EVEN = np.ones((1, 2), dtype=np.int64)


def code_signs(coder, magnitudes, negative):
    """Code bool `negative` [rows, columns] where `magnitudes` is not 0; returns it (what was read, when `coder` reads)."""
    if min(magnitudes.shape) < 2:
        used = np.flatnonzero(magnitudes)
        found = np.zeros(magnitudes.size, dtype=bool)
        found[used] = coder.symbols(_EVEN, negative.reshape(-1)[used]) == 1
        return found.reshape(magnitudes.shape)
    counts = first_counts()
    lead = np.zeros(magnitudes.shape[1], dtype=np.int64)
    found = np.zeros(magnitudes.shape, dtype=bool)
    for row in range(len(magnitudes)):
        used = np.flatnonzero(magnitudes[row])
        classes = np.searchsorted(EDGES, lead[used], side="right")
        signs = coder.symbols(counts[classes], negative[row, used])
        found[row, used] = signs == 1
        lead[used] += 1 - 2 * signs
        counts += INCREMENT * np.bincount(2 * classes + signs, minlength=counts.size).reshape(counts.shape)
        full = counts.sum(1) > LARGEST_TOTAL
        if full.any():
            counts[full] = (counts[full] + 1) >> 1
    return found


def first_counts():
    """Frequencies int64 [classes, 2] of positive and negative before anything is learned."""
    return np.full((len(EDGES) + 1, 2), 4 * INCREMENT, dtype=np.int64)
