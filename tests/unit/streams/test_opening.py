"""From the listing of a stream to its rows: the right command for the right kind, and one message for a listing that is none."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scalebound import cli
from scalebound.artifacts.provenance import file_sha256

SHAPE = {"row_tokens": 3, "vocab_size": 9}
REMOTE = {
    "megatron": {"kind": "megatron", "repo": "org/rows", "revision": "main", "rows_per_step": 1, **SHAPE},
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

    def draw(command, stream, found):
        (tmp_path / "resolved.json").write_text(json.dumps({"identity": {"stage": "resolve-stream"}, "stream": stream} | found))
        hub = ["--hub", "{}"] if command == "fetch-windows" else []
        words = ["--settings", '{"windows": 2, "seed": 1}', "--stream", "resolved.json", "--tokens-seen", "2", "--out", "windows.parquet"]
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
