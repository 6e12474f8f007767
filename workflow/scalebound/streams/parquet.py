"""Rows that the user brings: a parquet file with a column `tokens`, one list of token ids a row, all of one length."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scalebound.errors import InputError
from scalebound.streams.protocol import check_ids, check_tokens, token_type

_REMEDY = "Write one column `tokens`: lists of integers, all of one length, two or more tokens each"


def open_stream(path, vocab_size, unbiased):
    """The stream of a parquet file; whether it is an unbiased sample of the training data only its maker can know."""
    return ParquetStream(path, vocab_size, unbiased)


class ParquetStream:
    """Rows of a parquet file (see `protocol.Stream`), held in memory.

    Raises:
        InputError: unreadable file, no column of lists of integers, unequal lengths, a token outside the vocabulary.
    """

    def __init__(self, path, vocab_size, unbiased):
        if not isinstance(unbiased, bool):
            remedy = "State true or false: whether its rows are drawn uniformly from what the checkpoint saw"
            raise InputError(path, f"unbiased is {unbiased!r}", remedy)
        tokens = _read_tokens(path)
        check_tokens(tokens, vocab_size, path)
        self.vocab_size, self.unbiased, self._path = vocab_size, unbiased, Path(path)
        self._tokens = tokens.astype(token_type(vocab_size))
        self.rows, self.row_tokens = self._tokens.shape

    def read(self, ids, resume=None):
        """Tokens [len(ids), row_tokens]."""
        return self._tokens[check_ids(ids, self.rows, self._path)]


def _read_tokens(path):
    """int64 [rows, row_tokens]."""
    try:
        column = pq.read_table(path, columns=["tokens"])["tokens"].combine_chunks()
    except FileNotFoundError:
        raise InputError(path, "no such file", "Correct the path of the stream") from None
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InputError(path, f"no readable column `tokens` ({str(error).splitlines()[0]})", _REMEDY) from None
    kind = column.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not pa.types.is_integer(kind.value_type) or column.null_count or column.flatten().null_count:
        raise InputError(path, f"its column `tokens` is {kind} or has gaps", _REMEDY)
    lengths = np.unique(column.value_lengths().to_numpy(zero_copy_only=False))
    if len(lengths) != 1 or lengths[0] < 2:
        raise InputError(path, f"rows of {', '.join(map(str, lengths[:3])) or 'no'} tokens", _REMEDY)
    return column.flatten().to_numpy(zero_copy_only=False).astype(np.int64).reshape(len(column), int(lengths[0]))
