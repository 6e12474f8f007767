"""A hostile artifact ends in one message and no output, whichever stage reads it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile import HOSTILE_TENSORS
from limited import guarded, linux

from scalebound import cli
from scalebound.artifacts import windows
from scalebound.errors import InputError

STREAM, CHECKPOINT = "results/streams/smoke-sources", "results/smoke/smoke-6k"
QUANTIZER = f"{CHECKPOINT}/quantizers/gptq-4"
CODED = f"{CHECKPOINT}/quantizers/coded"
CERTIFICATE = f"{CODED}/certificate"
# run record, option, and the artifact that it reads, or that lies beside what it reads
READERS = {
    "tokenizer of documents": (f"{STREAM}/tokenizer.run.json", "--documents", f"{STREAM}/documents.parquet"),
    "tokenize of documents": (f"{STREAM}/rows/run.json", "--documents", f"{STREAM}/documents.parquet"),
    "tokenize of tokenizer": (f"{STREAM}/rows/run.json", "--tokenizer", f"{STREAM}/tokenizer.json"),
    "sample of tokens": (f"{CHECKPOINT}/sample/score/run.json", "--tokens", f"{STREAM}/rows/tokens.bin"),
    "sample of stream": (f"{CHECKPOINT}/sample/score/run.json", "--stream", f"{STREAM}/rows/stream.json"),
    "encode of codes": (f"{QUANTIZER}/encode/run.json", "--codes", f"{QUANTIZER}/quantize/codes.safetensors"),
    "encode of architecture": (f"{QUANTIZER}/encode/run.json", "--architecture", f"{CHECKPOINT}/resolve/architecture.json"),
    "decode of message": (f"{QUANTIZER}/decode/run.json", "--message", f"{QUANTIZER}/encode/model.sbq"),
    "decode of architecture": (f"{QUANTIZER}/decode/run.json", "--architecture", f"{CHECKPOINT}/resolve/architecture.json"),
    "bound of model": (f"{QUANTIZER}/bound/run.json", "--model", f"{CHECKPOINT}/resolve/resolved.json"),
    "bound of code": (f"{QUANTIZER}/bound/run.json", "--code", f"{QUANTIZER}/encode/code.json"),
    "bound of scores": (f"{QUANTIZER}/bound/run.json", "--scores", f"{CHECKPOINT}/score/scores.parquet"),
    "bound of quantized scores": (f"{QUANTIZER}/bound/run.json", "--quantized-scores", f"{QUANTIZER}/score/scores.parquet"),
    "bound of held-out scores": (f"{QUANTIZER}/bound/run.json", "--heldout", f"{CHECKPOINT}/heldout/scores.parquet"),
    "compress of architecture": (f"{CODED}/encode/run.json", "--architecture", f"{CHECKPOINT}/resolve/architecture.json"),
    "compress of calibration": (f"{CODED}/encode/run.json", "--calibration", f"{CHECKPOINT}/sample/calibration/windows.parquet"),
    "compress of tuning": (f"{CODED}/encode/run.json", "--tuning", f"{CHECKPOINT}/sample/tuning/windows.parquet"),
    "decode of a coded message": (f"{CODED}/decode/run.json", "--message", f"{CODED}/encode/model.sbq"),
    "certify of model": (f"{CERTIFICATE}/run.json", "--model", f"{CHECKPOINT}/resolve/resolved.json"),
    "certify of architecture": (f"{CERTIFICATE}/run.json", "--architecture", f"{CHECKPOINT}/resolve/architecture.json"),
    "certify of windows": (f"{CERTIFICATE}/run.json", "--windows", f"{CHECKPOINT}/sample/certify/windows.parquet"),
    "certify of scores": (f"{CERTIFICATE}/run.json", "--scores", f"{CERTIFICATE}/scores.parquet"),
    "certificates of certificates": ("results/smoke/certificates.run.json", "--certificates", f"{CERTIFICATE}/certificate.json"),
    "certificates of bounds": ("results/smoke/certificates.run.json", "--bounds", f"{CODED}/bound/bounds.json"),
    "figures of certificates": ("results/smoke/figures/certificates.run.json", "--table", "results/smoke/certificates.csv"),
    "table of bounds": ("results/smoke/bounds.run.json", "--bounds", f"{QUANTIZER}/bound/bounds.json"),
    "figures of table": ("results/smoke/figures/terms.run.json", "--table", "results/smoke/bounds.csv"),
}
# what is in an artifact but not needed by its readers
NOT_NEEDED = {"identity", "row_seed", "folder", "files", "bytes", "documents", "tied", "bits_by_parameter", "why_estimate", "sampled_tokens"}
UNREAD = {("bound of code", "without n_params")}


def altered(path):
    """Hostile versions of an artifact as (what it is, bytes); None stands for no file."""
    raw = path.read_bytes()
    yield from [("missing", None), ("empty", b""), ("noise", bytes(range(256)) * 4), ("second half", raw[len(raw) // 2 :])]
    if path.suffix != ".csv":  # half a table is a table: only the audit, which has its digest, finds that out
        yield "half", raw[: len(raw) // 2]
    if path.suffix == ".json":
        yield from _altered_json(raw)
    elif path.suffix == ".parquet":
        yield from _altered_parquet(path)
    elif path.suffix == ".safetensors":
        yield from HOSTILE_TENSORS.items()


def _altered_json(raw):
    value = json.loads(raw)
    yield from [("list", b"[]"), ("empty object", b"{}"), ("null", b"null"), ("nested", b"[" * 100_000)]
    if "identity" in value:
        yield "another stage", json.dumps(value | {"identity": value["identity"] | {"stage": "another"}}).encode()
        for key in sorted(set(value) - NOT_NEEDED):
            yield f"without {key}", json.dumps({k: v for k, v in value.items() if k != key}).encode()
    else:
        unknown = {"vocab": {"a": 70_000, "b": 1}, "merges": [], "type": "BPE"}
        yield "ids beyond 16 bits", json.dumps(value | {"model": value["model"] | unknown}).encode()
        yield "model of another kind", json.dumps(value | {"model": {"type": "evil"}}).encode()


def _altered_parquet(path):
    table = pq.read_table(path)
    identity = json.loads(table.schema.metadata[b"scalebound"])
    tables = {
        "not of scalebound": pa.table({"a": [1]}),
        "other columns": pa.table({"a": [1]}).replace_schema_metadata(table.schema.metadata),
        "no rows": table.slice(0, 0),
        "another stage": with_identity(table, identity | {"stage": "another"}),
        "identity that is no JSON": table.replace_schema_metadata({"scalebound": "{"}),
        "identity that is a list": with_identity(table, []),
        "nested identity": table.replace_schema_metadata({"scalebound": "[" * 100_000}),
    }
    for number, name in enumerate(table.column_names):
        if name in ("split", "wheel", "path", "nll", "tokens"):
            for kind, values in (("nulls", pa.nulls(len(table))), ("lists", pa.array([[1]] * len(table)))):
                tables[f"{name} of {kind}"] = table.set_column(number, name, values)
    for what, made in tables.items():
        yield what, parquet_bytes(made)


def with_identity(table, identity):
    return table.replace_schema_metadata({"scalebound": json.dumps(identity)})


def parquet_bytes(table):
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("reader", READERS)
def test_a_hostile_artifact_ends_in_one_message_and_no_output(finished, tmp_path, monkeypatch, capsys, reader):
    record, option, artifact = READERS[reader]
    monkeypatch.chdir(finished.folder)
    job = json.loads(Path(record).read_text())
    wrong = []
    for what, data in altered(Path(artifact)):
        if (reader, what) in UNREAD:
            continue
        hostile = tmp_path / f"hostile{Path(artifact).suffix}"
        if option.startswith("beside"):
            hostile = tmp_path / Path(artifact).name
            shutil.copy(Path(artifact).with_name("stream.json"), tmp_path)
        hostile.unlink(missing_ok=True)
        if data is not None:
            hostile.write_bytes(data)
        outcome = attempt(redirected(job, option, hostile, tmp_path / "out"), capsys)
        if outcome != "refused" or any((tmp_path / "out").rglob("*")):
            wrong.append(f"{what}: {outcome}")
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    assert wrong == []


def redirected(job, option, hostile, out):
    """The command of a run record with one input replaced and its outputs elsewhere."""
    arguments = [job["stage"], *job["arguments"]]
    if option.startswith("beside "):
        option = option.removeprefix("beside ")
        hostile = hostile.with_name(Path(arguments[arguments.index(option) + 1]).name)
    for k, word in enumerate(arguments[:-1]):
        if word == option:
            arguments[k + 1] = str(hostile)
        elif word.startswith(("--out", "--png", "--pdf", "--record")):
            arguments[k + 1] = str(out / Path(arguments[k + 1]).name)
    return arguments


def attempt(arguments, capsys):
    """ "refused" when the command ends with status 1 and one line about it; otherwise what it did."""
    try:
        status = cli.main(arguments)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:80]}"
    said = capsys.readouterr().err
    lines = [line for line in said.splitlines() if line.startswith(f"scalebound {arguments[0]}: error: ")]
    return "refused" if status == 1 and len(lines) == 1 else f"status {status}, {said[-80:]!r}"


@pytest.mark.parametrize("change", ["ragged", "empty", "none", "text", "floats", "flat"])
def test_hostile_windows_are_refused(finished, tmp_path, change):
    table = pq.read_table(finished.path(f"{CHECKPOINT}/sample/score/windows.parquet"))
    count = len(table)
    columns = {
        "ragged": pa.array([[1] * (k % 3) for k in range(count)]),
        "empty": pa.array([[]] * count, pa.list_(pa.int32())),
        "none": pa.nulls(count),
        "text": pa.array([["x"]] * count),
        "floats": pa.array([[float("nan")]] * count),
        "flat": pa.array([1] * count),
    }
    pq.write_table(table.set_column(2, "tokens", columns[change]), tmp_path / "windows.parquet")
    with pytest.raises(InputError):
        windows.read(tmp_path / "windows.parquet")


@linux
def test_a_parquet_file_that_unfolds_to_gigabytes_is_refused_before_it_does(finished, tmp_path):
    """A few kilobytes of equal values."""
    template = pq.read_table(finished.path(f"{CHECKPOINT}/sample/score/windows.parquet"))
    tokens = pa.ListArray.from_arrays(pa.array([0, 2**24], pa.int32()), pa.array(np.zeros(2**24, np.int32)))
    table = pa.table({"window": [0], "row": [0], "tokens": tokens}).replace_schema_metadata(template.schema.metadata)
    # one row group for each list: the same pages again and again
    pq.write_table(pa.concat_tables([table] * 8), tmp_path / "windows.parquet", compression="zstd", row_group_size=1)
    assert (tmp_path / "windows.parquet").stat().st_size < 2**20
    with pytest.raises(InputError, match="decompression bomb"):
        windows.read(tmp_path / "windows.parquet")
    assert guarded(lambda: windows.read(tmp_path / "windows.parquet"), seconds=10, megabytes=300) == "InputError"
