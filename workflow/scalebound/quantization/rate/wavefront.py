"""Codes of a matrix, entry by entry along anti-diagonals, each under the scale of its row and of its column so far.

No table of scales is sent. The magnitude expected of entry (i, j) is the tensor's mean times a factor of row i and a factor
of column j, both estimated from the entries already coded; an anti-diagonal holds one entry of each row and column, so all
of it is coded at once. Expected magnitudes fall into classes of half an octave, and each class learns its own
frequencies, which carry over to the next tensor as a first guess. Everything is integer arithmetic.
"""

import numpy as np

UNIT = 1 << 12  # fixed point of magnitudes and factors
CLASSES = 30
# class c holds expected magnitudes from 2^((c - 14) / 2) / sqrt(2): edges in UNITs, by exact squares
EDGES = np.array([round(UNIT * 2 ** ((c - 14) // 2) * (1.0 if c % 2 == 0 else 1.4142135623730951)) for c in range(1, CLASSES)], dtype=np.int64)
INCREMENT = 16
PRIOR = 16 * INCREMENT  # weight of what a class expects before it has seen anything
CARRIED = 48 * INCREMENT  # weight of what earlier tensors taught
LARGEST_TOTAL = 1 << 17
SHRINKAGE = UNIT  # expected magnitude that a row or column must reach to be believed half


class Frequencies:
    """Integer frequencies int64 [classes, symbols] of min(|code|, symbols - 1), learned as symbols are coded."""

    def __init__(self, symbols, classes=CLASSES):
        self.symbols = symbols
        self.counts = np.stack([_geometric(c, symbols) for c in range(classes)])

    def relax(self):
        """Before another tensor: keep the shape of what was learned, but let the new tensor's entries soon outweigh it."""
        totals = self.counts.sum(1, keepdims=True)
        self.counts = np.where(totals > CARRIED, self.counts * CARRIED // totals + 1, self.counts)

    def learn(self, classes, symbols):
        places = classes * self.symbols + symbols
        self.counts += INCREMENT * np.bincount(places, minlength=self.counts.size).reshape(self.counts.shape)
        full = self.counts.sum(1) > LARGEST_TOTAL
        if full.any():
            self.counts[full] = (self.counts[full] + 1) >> 1


def code_matrix(coder, magnitudes, frequencies, mean):
    """Code int32 `magnitudes` [rows, columns] (filled in place when `coder` reads); returns the tensor's mean in UNITs.

    `mean`: what to expect before the first entry, in UNITs.
    """
    rows, columns = magnitudes.shape
    if min(rows, columns) < 2:
        return code_vector(coder, magnitudes.reshape(-1), frequencies, mean)
    flat = magnitudes.reshape(-1)
    row_seen, row_expected, column_seen, column_expected = (np.full(n, SHRINKAGE, dtype=np.int64) for n in (rows, rows, columns, columns))
    total, count = 16 * mean, 16
    for diagonal in range(rows + columns - 1):
        low, high = max(0, diagonal - columns + 1), min(rows, diagonal + 1)
        # columns are kept in reverse, so that an anti-diagonal is a slice of them too
        i, j = slice(low, high), slice(columns - 1 - diagonal + low, columns - 1 - diagonal + high)
        entries = slice(diagonal + low * (columns - 1), diagonal + (high - 1) * (columns - 1) + 1, columns - 1)
        by_row = mean * (row_seen[i] * UNIT // row_expected[i]) // UNIT
        column = column_seen[j] * UNIT // column_expected[j]
        symbols = _code(coder, flat, entries, by_row * column // UNIT, frequencies)
        seen = symbols.astype(np.int64) * UNIT
        row_seen[i] += seen
        column_seen[j] += seen
        row_expected[i] += mean * column // UNIT
        column_expected[j] += by_row
        total, count = total + int(seen.sum()), count + high - low
        mean = max(1, total // count)
    return mean


def code_vector(coder, magnitudes, frequencies, mean):
    """The same for int32 `magnitudes` [n] with nothing but their mean so far, in pieces that grow with what is known."""
    total, count, start = 16 * mean, 16, 0
    while start < len(magnitudes):
        piece = slice(start, min(len(magnitudes), start + max(8, start // 8)))
        symbols = _code(coder, magnitudes, piece, np.full(piece.stop - start, mean, dtype=np.int64), frequencies)
        total, count, start = total + int(symbols.sum()) * UNIT, count + len(symbols), piece.stop
        mean = max(1, total // count)
    return mean


def _code(coder, flat, entries, expected, frequencies):
    classes = np.searchsorted(EDGES, expected, side="right")
    symbols = coder.symbols(frequencies.counts[classes], flat[entries])
    flat[entries] = symbols
    frequencies.learn(classes, symbols)
    return symbols


def _geometric(c, symbols):
    """What class c expects: a geometric law with the class's mean, as integers that sum to about PRIOR."""
    mean = float(EDGES[c] if c < len(EDGES) else 2 * EDGES[-1]) / UNIT * 0.84
    ratio, weight, weights = mean / (1 + mean), 1.0, []
    for _ in range(symbols):
        weights.append(weight)
        weight = weight * ratio
    total = sum(weights)
    return np.array([int(PRIOR * w / total) + 1 for w in weights], dtype=np.int64)
