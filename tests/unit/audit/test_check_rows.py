"""The audit's look at the rows of a stream, on a stream that the commands make from a wheel made here."""

import json
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from scalebound.artifacts.provenance import file_sha256
from scalebound.audit.checks import check_rows
from scalebound.cli import main
from scalebound.corpus.rows import open_rows

FILE = "a-1.0-py3-none-any.whl"


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    """Folder of documents.parquet, tokenizer.json, tokens.bin and stream.json."""
    folder = tmp_path_factory.mktemp("stream")
    with zipfile.ZipFile(folder / FILE, "w") as archive:
        for k in range(60):
            archive.writestr(f"package/m{k}.py", f"def f{k}(é):\n    return é + {k}\n" * (5 + k))
    wheel = {"name": "a", "version": "1.0", "file": FILE, "sha256": file_sha256(folder / FILE)}
    settings = {"kind": "wheels", "wheels": [wheel], "document_seed": 1, "row_seed": 2, "tokenizer_fraction": 0.2, "heldout_fraction": 0.1}
    given = ["--settings", json.dumps(settings | {"tokenizer": {"vocab_size": 262}, "row_tokens": 17})]
    listed = ["--documents", str(folder / "documents.parquet"), "--wheels", str(folder)]
    assert main(["documents", *given, "--wheels", str(folder / FILE), "--out", str(folder / "documents.parquet")]) == 0
    identity = ["--out-identity", str(folder / "tokenizer.identity.json")]
    assert main(["tokenizer", *given, *listed, "--out", str(folder / "tokenizer.json"), *identity]) == 0
    made = ["--out", str(folder / "tokens.bin"), "--out-stream", str(folder / "stream.json")]
    assert main(["tokenize", *given, *listed, "--tokenizer", str(folder / "tokenizer.json"), *made]) == 0
    return folder


def findings(stream, seed=2):
    job = SimpleNamespace(
        outputs={"tokens.bin": "stream.json", "stream.json": "stream.json"},
        inputs={"documents": "documents.parquet", "tokenizer": "tokenizer.json"},
        settings={"row_seed": seed, "row_tokens": 17},
    )
    return check_rows(job, SimpleNamespace(path=lambda name: stream / name))


def test_rows_as_they_were_made_are_found_in_order(stream):
    rows, listing = open_rows(stream / "tokens.bin", stream / "stream.json")
    assert len(rows) == listing["rows"] > 100
    assert listing["row_seed"] == 2
    assert findings(stream) == []


def test_rows_in_the_order_of_another_seed_are_named(stream):
    (finding,) = findings(stream, seed=3)
    assert "in the rows that the seed gives it" in finding.expected


@pytest.mark.parametrize("tamper", ["swap", "forget"])
def test_rows_that_were_moved_or_lost_are_named(stream, tamper):
    """Two halves changed places, or one row stands for all: the file has its length, and its digests could be made to fit."""
    before = (stream / "tokens.bin").read_bytes()
    rows = np.frombuffer(before, dtype="<u2").reshape(-1, 17)
    changed = np.roll(rows, len(rows) // 2, axis=0) if tamper == "swap" else np.tile(rows[0], (len(rows), 1))
    try:
        (stream / "tokens.bin").write_bytes(changed.tobytes())
        assert len(findings(stream)) == 1
    finally:
        (stream / "tokens.bin").write_bytes(before)
