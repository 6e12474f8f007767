"""The three ends of `coders` with compiled loops: the same bytes and symbols, and the same bits but for the order of their sum.

A whole tensor is handed to them at once (`signed`, `magnitudes`). Getting the loops takes a second where they are kept from an
earlier process and a quarter of a minute where they are not, so they are for large models only (`pays`).
"""

import numpy as np

from scalebound.quantization.rate import coders, signs, wavefront

SMALLEST = 8_000_000  # weights of a model that is worth the wait
LONGEST = 1 << 20  # rows or columns: what is divided along a matrix of so many, magnitudes below 16, is exact in float64
_FULL, _WORD = (1 << 64) - 1, (1 << 32) - 1
_NEVER = (1 << 63) - 1
_CLASSES = 32  # the most that `kernels.class_of` tells apart


def pays(shapes):
    """Whether a model of matrices of `shapes`, (rows, columns) each, is coded by compiled loops."""
    return sum(rows * columns for rows, columns in shapes) >= SMALLEST and max(map(max, shapes)) <= LONGEST


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
        """Code int `symbols` [n], 255 at most, all under one row of positive integer `frequencies` [1, k]."""
        found = np.array(symbols, dtype=np.int32)
        if found.size and frequencies.shape[1] > 1:
            # code_vector with one class, which nothing is added to
            self._code(self._kernels.code_vector, found, frequencies, 1, _padded([]), 0, 0, _NEVER)
        return found

    def signed(self, model, values, plain):
        """`SignedModel.code`; a reader puts what it reads where `values` has its zeros."""
        values = self.magnitudes(model, values, plain)
        matrix = np.atleast_2d(values)
        if min(matrix.shape) < 2:
            negative = signs.code_signs(self, matrix, matrix < 0)
            return np.where(negative.reshape(values.shape), -np.abs(values), values)
        self._code(self._kernels.code_signs, values, signs.first_counts(), _padded(signs.EDGES), signs.INCREMENT, signs.LARGEST_TOTAL)
        return values

    def magnitudes(self, model, values, plain):
        """`SignedModel.code_magnitudes`, but that `values` keep their signs."""
        values = np.require(values, np.int32, ["C", "W"])
        flat = values.reshape(-1)
        model.frequencies.relax()
        kernel, shaped = (self._kernels.code_vector, flat) if plain or min(np.atleast_2d(values).shape) < 2 else (self._kernels.code_matrix, values)
        limits = wavefront.UNIT.bit_length() - 1, wavefront.INCREMENT, wavefront.LARGEST_TOTAL
        model.mean = self._code(kernel, shaped, model.frequencies.counts, model.mean, _padded(wavefront.EDGES), *limits)
        if not model.exact:
            large = self._kernels.places_of(flat, model.cap)
            remainders = model.remainders(self, np.abs(flat[large]) - model.cap)
            if self._mode == self._kernels.READ:
                flat[large] += remainders
        return values

    def _code(self, kernel, values, *model):
        mean = kernel(self._mode, self._state, self._words, self._bits, values, *model)
        if mean == self._kernels.UNREADABLE:
            raise ValueError(coders.INVALID)
        return mean


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

    def _code(self, kernel, values, *model):
        self._make_room(values.size)
        return super()._code(kernel, values, *model)

    def _make_room(self, count):
        """For `count` more symbols: each makes one word at most, written at once or held back."""
        place, held = (int(self._state[k]) for k in (self._kernels.PLACE, self._kernels.HELD))
        if place + held + count > len(self._words):
            grown = np.empty(max(place + held + count, 2 * len(self._words)), dtype=np.uint32)
            grown[:place] = self._words[:place]
            self._words = grown


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
    """uint32 words that tell the range of a writer from all that may follow, after those that it held back."""
    if size == _FULL:
        return np.zeros(0, dtype=np.uint32)
    point = lower + _WORD
    carried = point > _FULL
    before = [first + carried, *[0 if carried else _WORD] * (held - 1)] if held else []
    last = (point & _FULL) >> 32
    after = [0] if (lower + size & _FULL) >> 32 == last else []
    return np.array([*before, last, *after], dtype=np.uint32)


def _padded(edges):
    """int64 [31]: the edges between classes, then some that no value reaches."""
    padded = np.full(_CLASSES - 1, _NEVER, dtype=np.int64)
    padded[: len(edges)] = edges
    return padded
