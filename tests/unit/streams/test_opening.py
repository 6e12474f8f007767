"""From the listing of a stream to its rows: the right command for the right kind, and one message for a listing that is none."""

import json
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scalebound import cli
from scalebound.artifacts.provenance import file_sha256
from scalebound.configuration.config import Hub, parse
from scalebound.configuration.streams import Stream
from scalebound.errors import InputError
from scalebound.streams.opening import describe

SHAPE = {"row_tokens": 3, "vocab_size": 9}
REMOTE = {
    "megatron": {"kind": "megatron", "repo": "org/rows", "revision": "main", "rows_per_step": 1, "unbiased": True, **SHAPE},
    "hub_dataset": {
        "kind": "hub_dataset",
        "repo": "org/text",
        "revision": "main",
        "tokenizer_repo": "org/tiny",
        "tokenizer_revision": "main",
        "end_of_document": 0,
        **SHAPE,
    },
}


@pytest.fixture
def listed(tmp_path, capsys, monkeypatch):
    """A function that writes a listing, draws from it, and gives (exit status, what was said)."""
    monkeypatch.chdir(tmp_path)

    def draw(command, stream, found, tokens_seen=2):
        (tmp_path / "resolved.json").write_text(json.dumps({"identity": {"stage": "resolve-stream"}, "stream": stream} | found))
        hub = ["--hub", "{}"] if command == "fetch-windows" else []
        words = ["--settings", '{"windows": 2, "seed": 1}', "--stream", "resolved.json", "--tokens-seen", str(tokens_seen), "--out", "windows.parquet"]
        status = cli.main([command, *words, *hub])
        assert status == 0 or not (tmp_path / "windows.parquet").exists()
        return status, capsys.readouterr().err

    return draw


@pytest.fixture
def brought(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"tokens": [[1, 2, 3], [4, 5, 6]]}), path)
    return {"kind": "parquet", "path": "rows.parquet", "sha256": file_sha256(path), "unbiased": True, **SHAPE}


def test_a_stream_on_this_machine_is_drawn_from_by_sample_alone(listed, brought):
    status, said = listed("fetch-windows", brought, {"found": {}})
    assert (status, "a stream of kind parquet on this machine. Draw from it with sample" in said) == (1, True)
    assert listed("sample", brought, {"found": {}})[0] == 0


@pytest.mark.parametrize("kind", REMOTE)
def test_a_stream_of_the_hub_is_drawn_from_by_fetch_windows_alone(listed, kind):
    status, said = listed("sample", REMOTE[kind], {"found": {}})
    assert status == 1
    assert f"resolved.json: a stream of kind {kind} on the hub. Draw from it with fetch-windows" in said


@pytest.mark.parametrize("found", [{}, {"found": []}, {"found": {}}, {"found": {"rows": "all"}}])
@pytest.mark.parametrize("kind", REMOTE)
def test_a_listing_without_its_parts_is_one_message(listed, kind, found):
    status, said = listed("fetch-windows", REMOTE[kind], found)
    assert status == 1
    assert said.startswith("scalebound fetch-windows: error: resolved.json: ")


def test_a_listing_of_another_stage_is_named_with_those_that_would_do(listed, tmp_path, capsys):
    (tmp_path / "other.json").write_text(json.dumps({"identity": {"stage": "resolve"}}))
    words = ["--settings", '{"windows": 2, "seed": 1}', "--stream", "other.json", "--tokens-seen", "2", "--out", "windows.parquet"]
    assert cli.main(["sample", *words]) == 1
    assert "made by stage 'resolve', wanted 'tokenize' or 'generate' or 'resolve-stream'" in capsys.readouterr().err


@pytest.fixture
def ordered(tmp_path):
    """A folder of 40 rows in Megatron's format, row i all i, of which three steps of ten were one pass."""
    folder, rows = tmp_path / "rows [é]", np.repeat(np.arange(40, dtype="<u2"), 3).reshape(40, 3)
    folder.mkdir()
    (folder / "document.bin").write_bytes(rows.tobytes())
    head = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 8, 40, 41)
    (folder / "document.idx").write_bytes(
        head + np.full(40, 3, "<i4").tobytes() + (6 * np.arange(40, dtype="<i8")).tobytes() + np.arange(41, dtype="<i8").tobytes()
    )
    return {"kind": "megatron", "folder": str(folder), "rows_per_step": 10, "unbiased": True, "row_tokens": 3, "vocab_size": 50, "first_pass_rows": 25}


def test_a_draw_ends_with_the_first_pass(listed, ordered, tmp_path):
    """By hand too, where no table of checkpoints has been looked at: rows from the 25th on have been seen before."""
    found = describe(parse(Stream, ordered, "here"), Hub())
    assert listed("sample", ordered, {"found": found}, tokens_seen=2 * 25)[0] == 0
    assert set(pq.read_table(tmp_path / "windows.parquet")["row"].to_pylist()) <= set(range(25))
    (tmp_path / "windows.parquet").unlink()
    status, said = listed("sample", ordered, {"found": found}, tokens_seen=2 * 26)
    assert (status, "52 are 26 rows, the stream has 25 to draw from" in said) == (1, True)
    assert listed("sample", ordered | {"first_pass_rows": None}, {"found": found}, tokens_seen=2 * 26)[0] == 0


@pytest.mark.parametrize("first", [41, 146_432_000])
def test_a_first_pass_of_more_rows_than_there_are_in_order_is_refused(listed, ordered, first):
    found = describe(parse(Stream, ordered, "here"), Hub())
    wrong = ordered | {"first_pass_rows": first}
    with pytest.raises(InputError, match=rf"rows \[é\]: 40 rows, the configuration says that the first pass has {first}"):
        describe(parse(Stream, wrong, "here"), Hub())
    status, said = listed("sample", wrong, {"found": found})
    assert (status, "Correct first_pass_rows" in said) == (1, True)


def test_rows_without_an_order_are_no_more_than_were_to_be_trained_on(listed, brought):
    """A file with more rows than one pass has holds some of them twice, and any of them may be drawn."""
    assert describe(parse(Stream, brought | {"first_pass_rows": 2}, "here"), Hub())["rows"] == 2
    # a sample of them may have fewer
    assert listed("sample", brought | {"first_pass_rows": 10**9}, {"found": {}})[0] == 0
    with pytest.raises(InputError, match=r"2 rows, the configuration says that the first pass has 1"):
        describe(parse(Stream, brought | {"first_pass_rows": 1}, "here"), Hub())
