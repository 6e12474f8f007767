"""The documents behind the shuffled rows of a stream, known from the seed of the order and the tokens that close them."""

import numpy as np

from scalebound.corpus.rows import ROWS_AT_ONCE, row_order
from scalebound.corpus.tokenizer import END_OF_DOCUMENT_ID


class DocumentOrder:
    """Documents of a stream, numbered as they were written one after the other; the last one may be cut.

    rows: rows.Rows; seed: of their order. The end-of-document token belongs to the document that it closes.
    """

    def __init__(self, rows, seed):
        self._rows, self._order = rows, row_order(len(rows), seed)
        self._places = np.argsort(self._order)
        ends = np.empty(len(rows), dtype=np.int64)
        for ids in _pieces(np.arange(len(rows))):
            ends[self._order[ids]] = (rows.read(ids) == END_OF_DOCUMENT_ID).sum(axis=1)
        # of the rows as the documents were written: how many documents end before each
        self._before = np.concatenate([[0], np.cumsum(ends)])

    @property
    def whole(self):
        """Number of documents that are not cut."""
        return int(self._before[-1])

    def numbers(self, ids):
        """The document of each token of the rows of the stream with these ids, int64 [len(ids), row_tokens]."""
        ends = self._rows.read(ids) == END_OF_DOCUMENT_ID
        return self._before[self._order[ids], None] + np.cumsum(ends, axis=1) - ends

    def tokens(self, number):
        """The tokens of a whole document, without the one that closes it."""
        first, last = np.maximum(np.searchsorted(self._before, [number, number + 1]) - 1, 0)
        ids = self._places[first : last + 1]
        return self._rows.read(ids)[self.numbers(ids) == number][:-1]

    def weights(self, ids, seen):
        """(weights float64 [len(ids), row_tokens - 1], documents) for predictions of rows among the first `seen` of the stream.

        The weight of a prediction is 1 / (predictions of its document in the rows seen), so that the weights of what was
        seen of each document sum to 1; `documents` is the number of those of which any prediction was seen.
        """
        counts = np.zeros(self.whole + 1, dtype=np.int64)
        for piece in _pieces(np.arange(seen)):
            counts += np.bincount(self.numbers(piece)[:, 1:].ravel(), minlength=len(counts))
        return 1 / counts[self.numbers(ids)[:, 1:]], int((counts > 0).sum())


def _pieces(ids):
    return (ids[k : k + ROWS_AT_ONCE] for k in range(0, len(ids), ROWS_AT_ONCE))
