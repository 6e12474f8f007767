"""The three ends of `coders` with compiled loops: the same bytes, the same symbols, and bits but for the order of their sum.

What is coded entry by entry is handed over as a whole tensor (`signed`). Compiling takes seconds,
so this is for large models only (`for_message`), and numba is imported when the first object is made.
"""

import numpy as np

from scalebound.quantization.rate import coders, signs, wavefront

SMALLEST = 4_000_000  # weights of a model: below, compiling takes longer than it saves
LONGEST = 1 << 20  # rows or columns: above, the sums of `code_matrix` might not fit into a float64
_FULL, _WORD = (1 << 64) - 1, (1 << 32) - 1


class Meter:
    """Adds up ideal code lengths in `bits` and writes nothing."""

    compiled = True

    def __init__(self):
        from scalebound.quantization.rate import kernels

        self._kernels, self._mode = kernels, kernels.METER
        self._state, self._words, self._bits = np.zeros(6, np.uint64), np.zeros(0, np.uint32), np.zeros(1)
        self._state[kernels.SIZE] = _FULL

    @property
    def bits(self):
        return float(self._bits[0])

    def symbols(self, frequencies, symbols):
        """Code int `symbols` [n] below 256, all under one row of positive integer `frequencies` [1, k]."""
        if len(symbols) == 0 or frequencies.shape[1] == 1:
            return np.zeros(len(symbols), dtype=np.int32)
        found = np.array(symbols, dtype=np.uint8)
        self._check(self._kernels.code_alike(*self._end(len(found)), found, frequencies))
        return found.astype(np.int32)

    def signed(self, model, values, plain):
        """`SignedModel.code`: a reader fills the zeros of `values`."""
        values = self.magnitudes(model, values, plain)
        matrix = np.atleast_2d(values)
        if min(matrix.shape) < 2:
            negative = signs.code_signs(self, matrix, matrix < 0)
            return np.where(negative.reshape(values.shape), -np.abs(values), values)
        limits = _edges(signs.EDGES), signs.INCREMENT, signs.LARGEST_TOTAL
        self._check(self._kernels.code_signs(*self._end(values.size), values, signs.first_counts(), *limits))
        return values

    def magnitudes(self, model, values, plain):
        """`SignedModel.code_magnitudes`, but for the signs that `values` has, which stay."""
        values = np.require(values, np.int32, ["C", "W"])
        model.frequencies.relax()
        by_row = values.ndim == 2 and min(values.shape) > 1 and not plain
        kernel, shaped = (self._kernels.code_matrix, values) if by_row else (self._kernels.code_vector, values.reshape(-1))
        limits = _edges(wavefront.EDGES), wavefront.UNIT.bit_length() - 1, wavefront.INCREMENT, wavefront.LARGEST_TOTAL
        readable, model.mean = kernel(*self._end(values.size), shaped, model.frequencies.counts, model.mean, *limits)
        self._check(readable)
        if not model.exact:
            flat = values.reshape(-1)
            large = self._kernels.places_of(flat, model.cap)
            remainders = model.remainders(self, np.abs(flat[large]) - model.cap)
            if self._mode == self._kernels.READ:
                flat[large] += remainders
        return values

    def _end(self, count):
        """What the loops know of this end, with room for `count` more symbols."""
        return self._mode, self._state, self._words, self._bits

    def _check(self, readable):
        if not readable:
            raise ValueError("Tried to decode invalid compressed data.")


class Writer(Meter):
    """A meter that also writes."""

    def __init__(self):
        super().__init__()
        self._mode = self._kernels.WRITE

    def message(self):
        """Bytes, a multiple of four; zero words at the end are left out, as the reader goes on with zeros."""
        lower, size, held, first, _, place = (int(value) for value in self._state)
        words = np.append(self._words[:place], _last_words(lower, size, held, first))
        return words[: int(np.flatnonzero(words).max(initial=-1)) + 1].astype("<u4").tobytes()

    def _end(self, count):
        """A symbol makes one word at most."""
        place, needed = int(self._state[self._kernels.PLACE]), int(self._state[self._kernels.HELD]) + count
        if place + needed > len(self._words):
            grown = np.empty(max(place + needed, 2 * len(self._words)), dtype=np.uint32)
            grown[:place] = self._words[:place]
            self._words = grown
        return super()._end(count)


class Reader(Meter):
    """Raises ValueError where the bytes cannot have been written under the same model."""

    def __init__(self, data):
        super().__init__()
        self._mode, self._words = self._kernels.READ, coders.words_of(data)
        first = [*self._words[:2].tolist(), 0, 0]
        self._state[self._kernels.POINT] = first[0] << 32 | first[1]
        self._state[self._kernels.PLACE] = min(2, len(self._words))

    def finished(self):
        lower, size, _, _, point, place = (int(value) for value in self._state)
        return place == len(self._words) and (size == _FULL or point - lower & _FULL < 2 * _WORD + 1)


def _last_words(lower, size, held, first):
    """uint32 words that tell the range from what may follow, those held back before them."""
    if size == _FULL:
        return np.zeros(0, dtype=np.uint32)
    point = lower + _WORD
    carried = point > _FULL
    words = [first + carried, *[0 if carried else _WORD] * (held - 1)] if held else []
    last = (point & _FULL) >> 32
    words += [last] if (lower + size & _FULL) >> 32 != last else [last, 0]
    return np.array(words, dtype=np.uint32)


def _edges(edges):
    """int64 [31]: the edges of classes, then some that no value reaches."""
    return np.append(edges, np.full(31 - len(edges), np.iinfo(np.int64).max))
