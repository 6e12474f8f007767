"""Rows that the user brings."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scalebound.errors import InputError
from scalebound.streams.protocol import Stream, open_stream

ROWS = [[1, 2, 3], [4, 5, 6]]


def written(path, column, name="tokens"):
    pq.write_table(pa.table({name: column, "note": ["a"] * len(column)}), path)
    return path


@pytest.mark.parametrize("kind", [pa.list_(pa.int32()), pa.large_list(pa.int64()), pa.list_(pa.uint16(), 3)])
def test_lists_of_every_kind(tmp_path, kind):
    stream = open_stream("parquet", path=written(tmp_path / "a.parquet", pa.array(ROWS, kind)), vocab_size=7, unbiased=True)
    assert isinstance(stream, Stream)
    assert (stream.rows, stream.row_tokens, stream.vocab_size, stream.unbiased) == (2, 3, 7, True)
    assert stream.read([1, 0, 1]).tolist() == [ROWS[1], ROWS[0], ROWS[1]]
    assert stream.read([0]).dtype == np.uint16
    with pytest.raises(InputError, match=r"row 2 of 2 rows"):
        stream.read([2])


def test_large_vocabularies_need_int32(tmp_path):
    path = written(tmp_path / "a.parquet", [[1, 70000]])
    assert open_stream("parquet", path=path, vocab_size=100_000, unbiased=False).read([0]).dtype == np.int32


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([[1, 2], [3]], "rows of 1, 2 tokens"),
        ([[1], [2]], "rows of 1 tokens"),
        ([[1, 2], None], "has gaps"),
        ([[1, None]], "has gaps"),
        ([[1.0, 2.0]], "is list<"),
        (["text"], "is string"),
        ([[1, 7]], "token id 7, vocabulary size 7"),
        ([[1, -1]], "token id -1"),
        (pa.array([], pa.list_(pa.int32())), "rows of no tokens"),
    ],
)
def test_unusable_columns(tmp_path, column, message):
    with pytest.raises(InputError, match=message):
        open_stream("parquet", path=written(tmp_path / "a.parquet", column), vocab_size=7, unbiased=True)


def test_unusable_files(tmp_path):
    (tmp_path / "text").write_text("hello")
    with pytest.raises(InputError, match=r"no readable column"):
        open_stream("parquet", path=tmp_path / "text", vocab_size=7, unbiased=True)
    with pytest.raises(InputError, match=r"no readable column"):
        open_stream("parquet", path=written(tmp_path / "b.parquet", ROWS, name="ids"), vocab_size=7, unbiased=True)
    with pytest.raises(InputError, match=r"no such file"):
        open_stream("parquet", path=tmp_path / "none", vocab_size=7, unbiased=True)
    with pytest.raises(InputError, match=r"State true or false"):
        open_stream("parquet", path=tmp_path / "none", vocab_size=7, unbiased="yes")
    with pytest.raises(InputError, match=r"'tape'. Known kinds: hub_dataset, megatron, parquet"):
        open_stream("tape")
