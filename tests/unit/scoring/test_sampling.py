"""Drawn windows: uniform and reproducible, read from rows that are what they claim, and unaltered on disk."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from scalebound.artifacts import windows
from scalebound.artifacts.parquet import read_parquet, write_parquet
from scalebound.artifacts.provenance import KEY
from scalebound.corpus.rows import Rows
from scalebound.errors import InputError
from scalebound.scoring import sampling

IDENTITY = {"stage": "sample", "vocab_size": 300, "settings": {"seed": 7}}


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_rows_are_drawn_uniformly_over_the_whole_range(seed):
    ids = sampling.draw_rows(97, 97 * 200, seed)
    assert ids.dtype == np.int64
    assert (ids.min(), ids.max()) == (0, 96)
    assert stats.chisquare(np.bincount(ids, minlength=97)).pvalue > 1e-3


def test_draws_are_independent_of_the_draw_before():
    ids = sampling.draw_rows(10, 40_000, 3)
    pairs = np.bincount(10 * ids[:-1] + ids[1:], minlength=100)
    # overlapping pairs: 90 free counts, see Good (1953); the bound is far from either tail
    assert stats.chi2.sf(((pairs - pairs.mean()) ** 2 / pairs.mean()).sum(), 90) > 1e-3


def test_draws_are_with_replacement_also_from_few_rows():
    assert sampling.draw_rows(1, 5, 0).tolist() == [0] * 5
    assert len(set(sampling.draw_rows(50, 50, 0).tolist())) < 50


def test_a_seed_gives_the_same_draw_always_and_another_seed_another():
    first = sampling.draw_rows(10**6, 50, 7)
    assert np.array_equal(first, sampling.draw_rows(10**6, 50, 7))
    assert len({sampling.draw_rows(10**6, 50, seed).tobytes() for seed in range(20)}) == 20


def test_a_draw_stays_the_same_from_version_to_version():
    # numpy guarantees the bit stream of PCG64, not what is made of it: published results rest on these numbers
    assert sampling.draw_rows(1000, 8, 0).tolist() == [850, 636, 511, 269, 307, 40, 75, 16]


@pytest.mark.parametrize("rows", [0, -1])
def test_no_rows_to_draw_from_are_refused(rows):
    with pytest.raises(InputError, match=f"{rows} rows"):
        sampling.draw_rows(rows, 3, 0)


@pytest.mark.parametrize(("tokens", "row_tokens", "rows"), [(256, 257, 1), (2560, 257, 10), (0, 257, 0), (5, 2, 5)])
def test_rows_seen(tokens, row_tokens, rows):
    assert sampling.rows_seen(tokens, row_tokens) == rows


@pytest.mark.parametrize("tokens", [1, 255, 257, 2570])
def test_predictions_that_are_no_whole_number_of_rows_are_refused(tokens):
    with pytest.raises(InputError, match=f"{tokens}, no multiple of 256"):
        sampling.rows_seen(tokens, 257)


def test_the_digest_of_tokens_is_that_of_little_endian_uint32_in_row_order():
    expected = hashlib.sha256(bytes([1, 0, 0, 0, 2, 1, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0])).hexdigest()
    block = np.array([[1, 258], [3, 4]])
    for dtype in ("<u2", ">u2", "<i4", "<i8"):
        assert windows.token_digest(block.astype(dtype)) == expected
        assert windows.token_digest(np.asfortranarray(block.astype(dtype))) == expected


@pytest.fixture
def stream(tmp_path):
    """A file of 5 rows of 4 tokens: row i is 4 i, ..., 4 i + 3."""
    path = tmp_path / "tokens.bin"
    np.arange(20, dtype="<u2").tofile(path)
    return path


def test_rows_are_read_by_id_in_any_order_and_repeatedly(stream):
    rows = Rows(stream, 5, 4, 20)
    assert len(rows) == 5
    assert rows.read([4, 0, 4]).tolist() == [[16, 17, 18, 19], [0, 1, 2, 3], [16, 17, 18, 19]]
    assert rows.read(sampling.draw_rows(5, 30, 0)).shape == (30, 4)
    assert rows.read([]).shape == (0, 4)


@pytest.mark.parametrize("change", [-1, -2, -8, 1, 2, 8])
def test_a_file_that_is_too_short_or_too_long_is_refused(stream, change):
    whole = stream.read_bytes()
    stream.write_bytes(whole[:change] if change < 0 else whole + bytes(change))
    with pytest.raises(InputError, match=f"{40 + change} bytes, 5 rows of 4 tokens take 40"):
        Rows(stream, 5, 4, 20)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError):
        Rows(tmp_path / "none.bin", 5, 4, 20)


def test_a_token_outside_the_vocabulary_is_refused_where_it_is_read(stream):
    rows = Rows(stream, 5, 4, 19)
    assert rows.read([0, 1, 2, 3]).max() == 15
    with pytest.raises(InputError, match="token id 19, vocabulary size 19"):
        rows.read([0, 4])


def test_large_token_ids_keep_all_sixteen_bits(tmp_path):
    np.array([65535, 256, 255, 1], dtype="<u2").tofile(tmp_path / "tokens.bin")
    assert Rows(tmp_path / "tokens.bin", 2, 2, 65536).read([0, 1]).tolist() == [[65535, 256], [255, 1]]


@pytest.fixture
def drawn(tmp_path):
    """A written sample: its path, row ids and tokens."""
    ids = np.array([3, 0, 3, 2], dtype=np.int64)
    tokens = np.random.default_rng(0).integers(0, 300, (4, 6), dtype=np.uint16)
    windows.write(tmp_path / "windows.parquet", ids, tokens, IDENTITY)
    return tmp_path / "windows.parquet", ids, tokens


def test_windows_come_back_with_row_ids_and_identity(drawn):
    path, ids, tokens = drawn
    found_ids, found, identity = windows.read(path)
    assert np.array_equal(found_ids, ids)
    assert found.dtype == np.int32
    assert np.array_equal(found, tokens)
    assert identity == {**IDENTITY, "tokens_sha256": windows.token_digest(tokens), "rows_sha256": windows.row_digest(ids)}


def test_altered_row_ids_are_refused(drawn):
    path, *_ = drawn
    table = pq.read_table(path)
    changed = table.set_column(table.schema.get_field_index("row"), "row", pa.array([3, 0, 3, 1]))
    pq.write_table(changed, path)
    with pytest.raises(InputError, match="not those of its identity"):
        windows.read(path)


def test_the_same_windows_make_the_same_file(drawn, tmp_path):
    path, ids, tokens = drawn
    windows.write(tmp_path / "again.parquet", ids, tokens.astype(np.int64), IDENTITY)
    assert (tmp_path / "again.parquet").read_bytes() == path.read_bytes()


def test_windows_can_be_read_with_datasets(drawn, tmp_path):
    from datasets import Dataset

    path, ids, tokens = drawn
    table = Dataset.from_parquet(str(path), cache_dir=tmp_path, keep_in_memory=True)
    assert table["window"][:] == [0, 1, 2, 3]
    assert table["row"][:] == ids.tolist()
    assert table["tokens"][:] == tokens.tolist()


def rewrite(path, **columns):
    """Replace columns and keep everything else, the identity among it."""
    table = pq.read_table(path)
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), pa.chunked_array([pa.array(values, type=table.schema.field(name).type)]))
    pq.write_table(table, path)


def test_a_rewritten_file_with_the_same_tokens_is_accepted(drawn):
    path, _, tokens = drawn
    rewrite(path, tokens=tokens.tolist())
    assert np.array_equal(windows.read(path)[1], tokens)


@pytest.mark.parametrize("place", [(0, 0), (2, 3), (3, 5)])
def test_one_altered_token_is_refused(drawn, place):
    path, _, tokens = drawn
    altered = tokens.astype(np.int64)
    altered[place] = (altered[place] + 1) % 300
    rewrite(path, tokens=altered.tolist())
    with pytest.raises(InputError, match="not those of its identity"):
        windows.read(path)


def test_windows_in_another_order_are_refused(drawn):
    path, _, tokens = drawn
    rewrite(path, tokens=tokens[::-1].tolist())
    with pytest.raises(InputError, match="not those of its identity"):
        windows.read(path)


def test_a_file_cut_after_any_byte_is_refused(drawn):
    path, *_ = drawn
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="not a readable parquet file"):
            windows.read(path)


def test_a_missing_file_and_one_of_another_stage_are_refused(drawn, tmp_path):
    path, ids, tokens = drawn
    with pytest.raises(InputError, match="no such file"):
        windows.read(tmp_path / "none.parquet")
    windows.write(path, ids, tokens, {**IDENTITY, "stage": "score"})
    with pytest.raises(InputError, match="made by stage 'score', wanted 'sample'"):
        windows.read(path)


def test_a_table_without_identity_is_refused(drawn):
    path, *_ = drawn
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    with pytest.raises(InputError, match="no identity"):
        windows.read(path)


@pytest.mark.parametrize("stored", [b"{", b"\xff"])
def test_a_table_whose_identity_is_damaged_is_refused(drawn, stored):
    path, *_ = drawn
    pq.write_table(pq.read_table(path).replace_schema_metadata({KEY.encode(): stored}), path)
    with pytest.raises(InputError):
        windows.read(path)


def test_a_table_keeps_its_other_metadata_and_gets_its_identity(tmp_path):
    table = pa.table({"x": [1, 2]}).replace_schema_metadata({"other": "kept"})
    write_parquet(tmp_path / "t.parquet", table, {"stage": "score"})
    found = read_parquet(tmp_path / "t.parquet", "score", ["x"])
    assert found["x"].to_pylist() == [1, 2]
    assert found.schema.metadata[b"other"] == b"kept"
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_parquet(tmp_path / "t.parquet", table, {"stage": "score", "mean": float("nan")})
    assert read_parquet(tmp_path / "t.parquet", "score").equals(found)  # a failed write leaves the file as it was
