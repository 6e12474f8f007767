"""Three ends of one model: a writer, a reader and a meter of symbols under integer frequencies.

The code that models the symbols is written once and driven by any of them: `symbols` returns what was coded, and a reader
takes from what it is given only how many symbols there are. So the same statements encode, decode and measure.
Frequencies are integers; what they become inside constriction is one IEEE division and fixed-point arithmetic, the same
on every platform.
"""

import constriction
import numpy as np

INVALID = "Tried to decode from compressed data that is invalid for the employed entropy model."
_FAMILY = constriction.stream.model.Categorical(perfect=False)


class Meter:
    """Adds up ideal code lengths in `bits` and writes nothing."""

    compiled = False

    def __init__(self):
        self.bits = 0.0

    def symbols(self, frequencies, symbols):
        symbols = np.asarray(symbols, dtype=np.int32)
        if len(symbols):
            totals = frequencies.sum(1)
            rows = np.zeros(len(symbols), dtype=np.int64) if len(frequencies) == 1 else np.arange(len(symbols))
            self.bits -= float(np.log2(frequencies[rows, symbols] / totals[rows]).sum())
        return symbols


class Writer(Meter):
    """A meter that also writes."""

    def __init__(self):
        super().__init__()
        self._encoder = constriction.stream.queue.RangeEncoder()

    def symbols(self, frequencies, symbols):
        """Code int `symbols` [n], each under its row of positive integer `frequencies` [n, k]; one row for all is [1, k]."""
        symbols = np.ascontiguousarray(super().symbols(frequencies, symbols))
        if len(symbols) and frequencies.shape[1] > 1:
            if len(frequencies) == 1:
                self._encoder.encode(symbols, _single(frequencies[0]))
            else:
                self._encoder.encode(symbols, _FAMILY, frequencies.astype(np.float64))
        return symbols

    def message(self):
        """Bytes, a multiple of four; zero words at the end are left out, as the reader goes on with zeros."""
        words = self._encoder.get_compressed()
        return words[: int(np.flatnonzero(words).max(initial=-1)) + 1].astype("<u4").tobytes()


class Reader:
    """Raises ValueError where the bytes cannot have been written under the same model."""

    compiled = False

    def __init__(self, data):
        self._decoder = constriction.stream.queue.RangeDecoder(words_of(data))

    def symbols(self, frequencies, symbols):
        count = len(symbols)
        if count == 0 or frequencies.shape[1] == 1:
            return np.zeros(count, dtype=np.int32)
        try:
            if len(frequencies) == 1:
                return self._decoder.decode(_single(frequencies[0]), count)
            return self._decoder.decode(_FAMILY, frequencies.astype(np.float64))
        except AssertionError:
            raise ValueError(INVALID) from None

    def finished(self):
        return self._decoder.maybe_exhausted()


def words_of(data):
    """uint32 words of a message's bytes. Raises ValueError where no writer ends like that."""
    if len(data) % 4:
        raise ValueError(f"{len(data)} bytes, no multiple of four")
    if data[-4:] == bytes(4):
        raise ValueError("zero words left over")
    return np.frombuffer(data, dtype="<u4").astype(np.uint32)


def _single(frequencies):
    return constriction.stream.model.Categorical(frequencies.astype(np.float64), perfect=False)
