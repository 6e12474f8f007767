"""What comes from elsewhere is data: it is never executed, never trusted for its size, and refused with one message.

Hostile checkpoints, wheels, artifacts, configurations and results folders. SECURITY.md says what is promised.
"""

import ast
import contextlib
import csv
import json
import os
import pickle
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.numpy import load_file, save_file
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from scalebound import architecture, checkpoints, cli, model_files, models, windows
from scalebound.config import Wheel, parse, parse_config
from scalebound.corpus import wheels
from scalebound.errors import InputError
from scalebound.plan import Plan
from scalebound.quantization import storage

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(cli.__file__).parent
CPU = torch.device("cpu")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited by RLIMIT_AS, which other systems ignore")


def guarded(work, seconds=20, megabytes=1500):
    """What becomes of `work()` in a child process with little time and memory: "ok", an exception's name, or "killed"."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        outcome = "killed"
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + megabytes * 2**20
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
            resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, used + seconds))
            signal.alarm(6 * seconds)
            work()
            outcome = "ok"
        except BaseException as error:
            outcome = type(error).__name__
        finally:
            os.write(writer, outcome.encode())
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        outcome = pipe.read().decode() or "killed"
    os.waitpid(child, 0)
    return outcome


# -- no code in data: what the package may not call --------------------------------------------------------------------

FORBIDDEN_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
NETWORK_MODULES = {"urllib.request", "http.client", "ftplib", "requests", "httpx", "aiohttp", "fsspec", "urllib3"}
FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_ATTRIBUTES = {"system", "popen", "read_pickle", "to_pickle", "unsafe_load", "load_module"}
PROCESSES = {"provenance.py", "corpus/wheels.py"}  # git and pip; nothing else starts a process


def forbidden(tree):
    """Lines of a module that import or call what can execute data."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if {name.split(".")[0] for name in names} & FORBIDDEN_MODULES or set(names) & NETWORK_MODULES:
                yield node.lineno, f"imports {names[0]}"
            if isinstance(node, ast.ImportFrom) and {alias.name for alias in node.names} & FORBIDDEN_ATTRIBUTES:
                yield node.lineno, f"imports {node.names[0].name} from {node.module}"
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, problem) for problem in _forbidden_call(node))


def _forbidden_call(node):
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if (not owner and name in FORBIDDEN_NAMES) or (owner and name in FORBIDDEN_ATTRIBUTES):
        yield f"calls {name}"
    if owner == "os" and name.startswith(("exec", "spawn", "posix_spawn")):
        yield f"calls os.{name}"
    if (owner, name) == ("torch", "load") and given.get("weights_only") != "True":
        yield "calls torch.load without weights_only=True"
    if (owner, name) == ("yaml", "load") and "Safe" not in ast.unparse(node):
        yield "calls yaml.load without a safe loader"
    if given.get("shell", "False") != "False" or given.get("allow_pickle", "False") != "False":
        yield "passes shell or allow_pickle"
    if name in ("from_pretrained", "from_config") and given.get("trust_remote_code") != "False":
        yield f"{name} may run remote code"
    if name == "from_pretrained" and given.get("local_files_only") != "True":
        yield "from_pretrained may download"
    if name == "from_pretrained" and "Config" not in owner and given.get("use_safetensors") != "True":
        yield "from_pretrained may open a pickle"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_can_execute_data(path):
    assert list(forbidden(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import urllib.request",
        "from os import system",
        "os.system('x')",
        "os.execv('x', [])",
        "eval('1')",
        "exec(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "pd.read_pickle(path)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "subprocess.run('x', shell=True)",
        "AutoConfig.from_pretrained(folder, local_files_only=True)",
        "AutoConfig.from_pretrained(folder, trust_remote_code=False)",
        "Auto.from_pretrained(folder, trust_remote_code=False, local_files_only=True)",
        "Auto.from_config(config)",
        "Auto.from_config(config, trust_remote_code=flag)",
    ],
)
def test_the_check_for_calls_that_execute_data_finds(line):
    assert list(forbidden(ast.parse(line)))


def test_only_git_and_pip_are_started_and_without_a_shell():
    starts = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("subprocess."):
                starts.setdefault(path.relative_to(PACKAGE).as_posix(), set()).add(ast.unparse(node.func))
    assert starts == {name: {"subprocess.run"} for name in PROCESSES}


def test_pip_fetches_by_digest_and_builds_and_installs_nothing(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(wheels.subprocess, "run", lambda command, **_: seen.append(command) or SimpleNamespace(returncode=1, stderr="", stdout=""))
    wheel = Wheel(name="x", version="1", file="x.whl", sha256="0" * 64)
    with pytest.raises(InputError):
        wheels.download([wheel], tmp_path)
    (command,) = seen
    assert command[1:4] == ["-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "--require-hashes"} <= set(command)
    assert [path.name for path in tmp_path.iterdir()] == []


# -- checkpoints of others ----------------------------------------------------------------------------------------------


class Malicious:
    """Unpickling this creates the file `owned`."""

    def __init__(self, owned):
        self.owned = owned

    def __reduce__(self):
        return open, (str(self.owned), "w")


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16, "max_position_embeddings": 16}
    torch.manual_seed(0)
    GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=20, **sizes)).save_pretrained(folder)
    return folder


@pytest.fixture
def model(saved_model, tmp_path):
    return Path(shutil.copytree(saved_model, tmp_path / "model"))


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def load(folder):
    return models.load_folder(folder, CPU, "float32")


def only_a_pickle(folder, owned):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Malicious(owned)))


def an_index_that_names_a_pickle(folder, owned):
    (folder / "model.safetensors").unlink()
    (folder / "shard.bin").write_bytes(pickle.dumps(Malicious(owned)))
    index = {"metadata": {}, "weight_map": dict.fromkeys(architecture_names(folder), "shard.bin")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def a_configuration_that_names_a_pickle(folder, owned):
    change_config(folder, transformers_weights="adapter_model.bin")
    torch.save({"x": Malicious(owned)}, folder / "adapter_model.bin")


def a_configuration_that_names_a_harmless_pickle(folder, owned):
    # opened by a restricted reader at best: even so it is a pickle, and not the file whose digest was checked
    change_config(folder, transformers_weights="adapter_model.bin")
    torch.save({name: torch.from_numpy(x) for name, x in load_file(folder / "model.safetensors").items()}, folder / "adapter_model.bin")


def architecture_names(folder):
    return [parameter["name"] for parameter in architecture.describe(folder)["parameters"]]


@pytest.mark.parametrize(
    "prepare", [only_a_pickle, an_index_that_names_a_pickle, a_configuration_that_names_a_pickle, a_configuration_that_names_a_harmless_pickle]
)
def test_a_pickled_checkpoint_is_refused_and_never_opened(model, tmp_path, prepare):
    prepare(model, tmp_path / "owned")
    with pytest.raises(InputError):
        load(model)
    assert not (tmp_path / "owned").exists()


def test_weights_come_from_the_file_whose_digest_was_checked(model):
    """A configuration may name another safetensors file, which no description lists."""
    other = {name: x + 1 for name, x in load_file(model / "model.safetensors").items()}
    save_file(other, model / "other.safetensors", metadata={"format": "pt"})
    change_config(model, transformers_weights="other.safetensors")
    with pytest.raises(InputError):
        load(model)


@pytest.mark.parametrize("change", ["missing", "more", "other shape"])
def test_weights_that_do_not_fit_their_configuration_are_refused_and_not_filled_at_random(model, change):
    weights = load_file(model / "model.safetensors")
    name = sorted(weights)[0]
    weights |= {"more": {"more": np.zeros(3, np.float32)}, "other shape": {name: np.zeros(3, np.float32)}}.get(change, {})
    if change == "missing":
        del weights[name]
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError):
        load(model)


def test_resolving_a_pickled_checkpoint_is_refused(model, tmp_path, capsys):
    only_a_pickle(model, tmp_path / "owned")
    row = {"slug": "a", "family": "b", "source": "trained", "repo": "r", "revision": "step1", "step": 1, "tokens_seen": 1, "stream": "s"}
    out = tmp_path / "out"
    arguments = ["--settings", json.dumps(row), "--folder", model, "--out", out / "resolved.json", "--out-architecture", out / "architecture.json"]
    assert cli.main(["resolve", *map(str, arguments)]) == 1
    assert "model.safetensors" in capsys.readouterr().err
    assert not out.exists()
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("changes", [{}, {"model_type": "unheard-of"}])
def test_remote_code_of_a_configuration_never_runs(model, tmp_path, changes):
    change_config(model, auto_map={"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}, **changes)
    (model / "evil.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w')\nclass Config: pass\nclass Model: pass\n")
    for use in (architecture.describe, load):
        with contextlib.suppress(InputError):
            use(model)
            # an architecture that transformers has itself: the code in the folder is not looked at
            assert not changes
    assert not (tmp_path / "owned").exists()


HOSTILE_CONFIGS = {
    "enormous width": {"hidden_size": 10**9},
    "width beyond 64 bits": {"hidden_size": 10**30},
    "enormous vocabulary": {"vocab_size": 10**12},
    "negative vocabulary": {"vocab_size": -5},
    "text for a number": {"vocab_size": "x"},
    "enormous inner width": {"intermediate_size": 10**9},
    "enormous context": {"max_position_embeddings": 10**9},
    "endless layers": {"num_hidden_layers": 10**7},
    "endless labels": {"num_labels": 10**9},
    "no heads": {"num_attention_heads": 0},
    "heads that do not divide": {"num_attention_heads": 7},
    "model type of another kind": {"model_type": ["gpt_neox"]},
    "dtype that is none": {"dtype": "system"},
    "activation that is none": {"hidden_act": "__import__"},
    "rotation by zero": {"rope_parameters": {"rope_type": "dynamic", "factor": 1e300, "rope_theta": 0}},
    "settings by layer": {"per_layer_config": {"0": {"hidden_size": 1}}},
    "attention code of a hub": {"attn_implementation": "kernels-community/flash-attn"},
    "attention code that is not installed": {"attn_implementation": "flash_attention_2"},
    "quantization that is not installed": {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
    "quantization of another kind": {"quantization_config": 5},
}


@linux
@pytest.mark.parametrize("name", HOSTILE_CONFIGS)
def test_a_hostile_configuration_is_described_or_refused_in_little_time_and_memory(model, name):
    change_config(model, **HOSTILE_CONFIGS[name])
    assert guarded(lambda: architecture.describe(model), seconds=10) in ("ok", "InputError")


@linux
@pytest.mark.parametrize("name", HOSTILE_CONFIGS)
def test_a_hostile_configuration_is_loaded_or_refused_in_little_time_and_memory(model, name):
    change_config(model, **HOSTILE_CONFIGS[name])
    assert guarded(lambda: load(model), seconds=10) in ("ok", "InputError")


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", "5", "\ufeff{}", '{"a":' * 100_000])
def test_a_configuration_that_is_none_is_refused(model, text):
    (model / "config.json").write_text(text, encoding="utf-8")
    for use in (architecture.describe, load):
        with pytest.raises(InputError):
            use(model)


def header(value, declared=None):
    """A safetensors file with this JSON header, of a declared length of its own if one is given."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack("<Q", len(text) if declared is None else declared) + text


HOSTILE_TENSORS = {
    "empty": b"",
    "no header": b"\x08\0\0\0\0\0\0\0",
    "header of 2**63 bytes": header(b"{}", 2**63),
    "header of 4 GB": header(b"{}", 2**32),
    "header longer than the file": header(b"{}", 10**6),
    "header that is no JSON": header(b"\xff" * 100),
    "header that is a list": header([]),
    "nested header": header(b'{"a":' * 100_000),
    "data beyond the file": header({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
    "shape beyond 64 bits": header({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}) + bytes(4),
    "shape that does not fit its data": header({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 4]}}) + bytes(4),
    "negative shape": header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}) + bytes(4),
    "unknown type": header({"a": {"dtype": "object", "shape": [1], "data_offsets": [0, 4]}}) + bytes(4),
    "pickle": pickle.dumps(Malicious("owned")),
}


@linux
@pytest.mark.parametrize("name", HOSTILE_TENSORS)
def test_a_hostile_safetensors_file_is_refused_without_memory_for_it(tmp_path, name):
    path = tmp_path / "model.safetensors"
    path.write_bytes(HOSTILE_TENSORS[name])
    assert guarded(lambda: model_files.check_finite(path), megabytes=500) == "InputError"
    assert guarded(lambda: storage.read(path), megabytes=500) == "InputError"


# -- wheels ----------------------------------------------------------------------------------------------------------------


def wheel(path, name="a.py", data=b"x = 1\n" * 100, method=zipfile.ZIP_DEFLATED, alter=None):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, data)
    if alter:
        raw = bytearray(path.read_bytes())
        # where the entry's directory record and its compressed data begin
        alter(raw, raw.index(b"PK\x01\x02"), 30 + len(name))
        path.write_bytes(raw)
    return path


def put(raw, place, data):
    raw[place : place + len(data)] = data


HOSTILE_WHEELS = {
    "bomb": {"data": bytes(17 * 2**20)},
    "bomb that hides its size": {"data": bytes(300 * 2**20), "alter": lambda raw, d, _: put(raw, d + 24, struct.pack("<I", 100))},
    "damaged data": {"alter": lambda raw, _, data: put(raw, data, b"\xff" * 6)},
    "damaged bzip2": {"method": zipfile.ZIP_BZIP2, "alter": lambda raw, _, data: put(raw, data, b"\xff" * 6)},
    "damaged lzma": {"method": zipfile.ZIP_LZMA, "alter": lambda raw, _, data: put(raw, data + 4, b"\xff" * 6)},
    "wrong checksum": {"alter": lambda raw, d, _: put(raw, d + 16, bytes(4))},
    "unknown compression": {"alter": lambda raw, d, _: (put(raw, 8, b"\x63\0"), put(raw, d + 10, b"\x63\0"))},
    "encrypted": {"alter": lambda raw, d, _: (put(raw, 6, b"\1"), put(raw, d + 8, b"\1"))},
    "offset beyond the file": {"alter": lambda raw, d, _: put(raw, d + 42, struct.pack("<I", 2**31))},
    "name that is no UTF-8": {"name": "é.py", "alter": lambda raw, d, _: put(raw, d + 46, b"\xff\xff")},
}


@linux
@pytest.mark.parametrize("name", HOSTILE_WHEELS)
def test_a_hostile_wheel_is_refused_without_memory_for_it(tmp_path, name):
    path = wheel(tmp_path / "a.whl", **HOSTILE_WHEELS[name])
    assert guarded(lambda: list(wheels.documents(path)), megabytes=200) == "InputError"


@pytest.mark.parametrize("data", [None, b"", b"no archive", b"PK\x05\x06" + bytes(10)])
def test_a_wheel_that_is_none_is_refused(tmp_path, data):
    if data is not None:
        (tmp_path / "a.whl").write_bytes(data)
    with pytest.raises(InputError):
        list(wheels.documents(tmp_path / "a.whl"))


@pytest.mark.parametrize("name", ["../../outside.py", "/outside.py", "C:\\outside.py", "a\nb.py", "$(touch owned).py"])
def test_names_inside_a_wheel_are_text_and_never_paths(tmp_path, monkeypatch, name):
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    wheel(folder / "a.whl", name)
    settings = json.dumps(stream(wheels=[{"name": "a", "version": "1", "file": "a.whl", "sha256": "0" * 64}]))
    before = set(tmp_path.rglob("*"))
    assert cli.main(["documents", "--settings", settings, "--wheels", "a.whl", "--out", "documents.parquet"]) == 0
    assert pq.read_table("documents.parquet")["path"].to_pylist() == [name]
    assert set(tmp_path.rglob("*")) - before == {folder / "documents.parquet"}


def stream(**changes):
    return yaml.safe_load((ROOT / "config/smoke.yaml").read_text())["streams"]["smoke-sources"] | {"tokenizer": {"vocab_size": 300}, "sha256": {}} | changes


# -- artifacts of others ----------------------------------------------------------------------------------------------------

STREAM, CHECKPOINT = "results/streams/smoke-sources", "results/smoke/smoke-6k"
QUANTIZER = f"{CHECKPOINT}/quantizers/gptq-4"
# run record, option, and the artifact that it reads
READERS = {
    "tokenizer of documents": (f"{STREAM}/tokenizer.run.json", "--documents", f"{STREAM}/documents.parquet"),
    "tokenize of documents": (f"{STREAM}/rows480/run.json", "--documents", f"{STREAM}/documents.parquet"),
    "tokenize of tokenizer": (f"{STREAM}/rows480/run.json", "--tokenizer", f"{STREAM}/tokenizer.json"),
    "sample of tokens": (f"{CHECKPOINT}/sample/score/run.json", "--tokens", f"{STREAM}/rows480/tokens.bin"),
    "sample of stream": (f"{CHECKPOINT}/sample/score/run.json", "--stream", f"{STREAM}/rows480/stream.json"),
    "encode of codes": (f"{QUANTIZER}/encode/run.json", "--codes", f"{QUANTIZER}/quantize/codes.safetensors"),
    "encode of architecture": (f"{QUANTIZER}/encode/run.json", "--architecture", f"{CHECKPOINT}/resolve/architecture.json"),
    "decode of message": (f"{QUANTIZER}/decode/run.json", "--message", f"{QUANTIZER}/encode/model.sbq"),
    "decode of architecture": (f"{QUANTIZER}/decode/run.json", "--architecture", f"{CHECKPOINT}/resolve/architecture.json"),
    "bound of model": (f"{QUANTIZER}/bound/run.json", "--model", f"{CHECKPOINT}/resolve/resolved.json"),
    "bound of code": (f"{QUANTIZER}/bound/run.json", "--code", f"{QUANTIZER}/encode/code.json"),
    "bound of scores": (f"{QUANTIZER}/bound/run.json", "--scores", f"{CHECKPOINT}/score/scores.parquet"),
    "bound of quantized scores": (f"{QUANTIZER}/bound/run.json", "--quantized-scores", f"{QUANTIZER}/score/scores.parquet"),
    "table of bounds": ("results/smoke/bounds.run.json", "--bounds", f"{QUANTIZER}/bound/bounds.json"),
    "figures of table": ("results/smoke/figures/terms.run.json", "--table", "results/smoke/bounds.csv"),
}
# what is in an artifact but not needed by its readers
NOT_NEEDED = {"identity", "folder", "files", "bytes", "documents", "tied", "bits_by_parameter", "why_estimate", "sampled_tokens"}
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
def test_a_parquet_file_that_unfolds_to_gigabytes_fails_for_want_of_memory_and_does_no_worse(finished, tmp_path):
    """A few kilobytes of equal values. Nothing bounds what a parquet file unfolds to but the memory that the process may take."""
    template = pq.read_table(finished.path(f"{CHECKPOINT}/sample/score/windows.parquet"))
    tokens = pa.ListArray.from_arrays(pa.array([0, 2**24], pa.int32()), pa.array(np.zeros(2**24, np.int32)))
    table = pa.table({"window": [0], "row": [0], "tokens": tokens}).replace_schema_metadata(template.schema.metadata)
    # one row group for each list: the same pages again and again
    pq.write_table(pa.concat_tables([table] * 8), tmp_path / "windows.parquet", compression="zstd", row_group_size=1)
    assert (tmp_path / "windows.parquet").stat().st_size < 2**20
    outcome = guarded(lambda: windows.read(tmp_path / "windows.parquet"), seconds=60, megabytes=300)
    assert outcome in ("InputError", "ArrowMemoryError", "MemoryError", "_ArrayMemoryError")


# -- names and paths --------------------------------------------------------------------------------------------------------

TRAVERSALS = ["..", "../x", "x/../../y", "/x", "a/b", "a\\b", ".hidden", "-x", "", " ", "a\n", "a\0", "a" * 65, "A", "é", "~root", "$HOME"]


@pytest.mark.parametrize("name", TRAVERSALS)
def test_no_name_leads_out_of_its_folder(name):
    """Families, streams, runs, quantizers and slugs are folders of results/."""
    settings = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    for key in ("families", "quantize_with"):
        with pytest.raises(InputError):
            parse_config(settings | {key: [name]})
    for key in ("streams", "training", "quantizers"):
        with pytest.raises(InputError, match=key):
            parse_config(settings | {key: settings[key] | {name: next(iter(settings[key].values()))}})
    with pytest.raises(InputError):
        parse(checkpoints.Checkpoint, row_of_the_table() | {"slug": name}, "table")


@pytest.mark.parametrize("file", ["../x.whl", "/x.whl", "x/y.whl", "..\\x.whl", ".x.whl", "x.whl\n", "x.whl/..", "-x.whl", "x whl", "x.py"])
def test_no_wheel_lies_outside_of_its_folder(file):
    good = {"name": "x", "version": "1", "file": "x.whl", "sha256": "0" * 64}
    parse(Wheel, good, "wheel")
    with pytest.raises(InputError, match="file"):
        parse(Wheel, good | {"file": file}, "wheel")


@pytest.mark.parametrize("name", ["x --index-url=http://localhost", "x\n--no-index", "x @ file:///x", "-r x", "x;y", "../x"])
def test_no_pin_of_a_wheel_is_an_option_of_pip(name):
    with pytest.raises(InputError, match="name"):
        parse(Wheel, {"name": name, "version": "1", "file": "x.whl", "sha256": "0" * 64}, "wheel")
    with pytest.raises(InputError, match="version"):
        parse(Wheel, {"name": "x", "version": f"1{name}", "file": "x.whl", "sha256": "0" * 64}, "wheel")


def row_of_the_table():
    (row,) = (row for row in checkpoints.read_table(ROOT / "config/smoke.tsv") if row.slug == "smoke-6k")
    return row.model_dump()


@pytest.mark.parametrize("changes", [{"repo": "a/../../x"}, {"repo": "smoke-6k/../x"}, {"revision": "step60/../../../x"}, {"revision": "step60/.."}])
def test_no_checkpoint_lies_outside_of_the_training_runs(changes):
    settings = yaml.safe_load((ROOT / "config/config.yaml").read_text()) | yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
    settings["quantizers"] = yaml.safe_load((ROOT / "config/config.yaml").read_text())["quantizers"]
    Plan(parse_config(settings), checkpoints.read_table(ROOT / "config/smoke.tsv")[:1])
    with pytest.raises(InputError):
        Plan(parse_config(settings), [parse(checkpoints.Checkpoint, row_of_the_table() | changes, "table")])


def test_a_model_description_cannot_pass_off_other_files(model, tmp_path):
    """A description may name any folder, but only files that have the digests in it are read."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for name in ("../secret", str(secret)):
        description = {"identity": {"stage": "resolve"}, "folder": str(model), "files": [{"name": name, "sha256": "0" * 64}]}
        (tmp_path / "resolved.json").write_text(json.dumps(description))
        with pytest.raises(InputError, match="sha256"):
            model_files.read_description(tmp_path / "resolved.json")


# -- shell ------------------------------------------------------------------------------------------------------------------

METACHARACTERS = ["; touch owned", "$(touch owned)", "`touch owned`", "' touch owned '", '" && touch owned "', "a\ntouch owned", "| touch owned", "a b", "*"]


def places(value, path=()):
    """Paths of all texts in a nested configuration."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


def test_no_text_of_the_configuration_but_a_path_takes_shell_metacharacters():
    settings = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    accepted = set()
    for path in places(settings):
        for text in METACHARACTERS:
            with contextlib.suppress(InputError):
                parse_config(replaced(settings, path, text))
                accepted.add(path)
    # a file name may hold any character: the next tests show that it is harmless
    assert accepted == {("checkpoints",)}


@pytest.mark.parametrize("column", checkpoints.COLUMNS)
def test_no_cell_of_the_table_takes_shell_metacharacters(tmp_path, column):
    digits = ["²", "٣", "9" * 5000, "-1", "1e3"] if column in ("step", "tokens_seen") else []
    for text in [*METACHARACTERS, *digits, "é", "a" * 200_000]:
        with open(tmp_path / "table.tsv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerows([checkpoints.COLUMNS, [{**row_of_the_table(), column: text}[name] for name in checkpoints.COLUMNS]])
        with pytest.raises(InputError):
            checkpoints.read_table(tmp_path / "table.tsv")


@pytest.mark.parametrize("data", [b"\xff\xfe", b"slug\0\tfamily\n", b'"' * 200_000])
def test_a_table_that_is_no_text_is_refused(tmp_path, data):
    (tmp_path / "table.tsv").write_bytes(data)
    with pytest.raises(InputError):
        checkpoints.read_table(tmp_path / "table.tsv")


def test_every_value_in_a_shell_command_is_quoted():
    rules = sorted((ROOT / "workflow/rules").glob("*.smk"))
    commands = [text for path in rules for text in re.findall(r'^ +"(.*)"$', path.read_text(), re.MULTILINE) if " -" in text or "python" in text]
    values = [value for text in commands for value in re.findall(r"\{([^{}]*)\}", text)]
    assert len(values) > 80
    assert {value for value in values if not value.endswith(":q")} == {"threads"}


def test_shell_metacharacters_in_a_path_are_harmless_in_a_real_run(workspace):
    name = "t; touch owned; $(touch owned) `touch owned` 'q\" && touch owned\n{wildcards} | x.tsv"
    workspace.path("config/smoke.tsv").rename(workspace.path(name))
    workspace.edit("config/smoke.yaml", "checkpoints: config/smoke.tsv", f"checkpoints: {json.dumps(name)}")
    done = workspace.snakemake("results/smoke/config.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(workspace.path("results/smoke/config.json").read_text())["config"]["checkpoints"] == name
    assert not list(workspace.folder.rglob("owned*"))


# -- network ----------------------------------------------------------------------------------------------------------------

# every stage but fetch-corpus, each repeated from its run record in one process that can reach nothing
OFFLINE = """
import json, socket, sys
attempts, plain = [], {name: getattr(socket.socket, name) for name in ("connect", "connect_ex", "sendto")}
def guard(name):
    def call(self, *arguments):
        if self.family == getattr(socket, "AF_UNIX", None):
            return plain[name](self, *arguments)
        attempts.append(repr(arguments)[:200])
        raise OSError("the network is off")
    return call
def resolve(*arguments, **_):
    attempts.append(repr(arguments)[:200])
    raise OSError("the network is off")
for name in plain:
    setattr(socket.socket, name, guard(name))
socket.getaddrinfo = resolve
from scalebound import cli
if __name__ == "__main__":
    failed = [arguments[0] for arguments in json.loads(sys.argv[1]) if cli.main(arguments) != 0]
    print(json.dumps({"failed": failed, "attempts": attempts}))
"""


def test_only_fetching_uses_the_network(finished_copy):
    records = sorted(finished_copy.path("results").rglob("*run.json"))
    jobs = {job["stage"]: job for job in map(json.loads, (path.read_text() for path in records)) if job["stage"] != "fetch-corpus"}
    order = ["documents", "tokenizer", "tokenize", "train", "resolve", "sample", "quantize", "encode", "decode", "score", "bound", "table", "figures"]
    commands = [[stage, *jobs[stage]["arguments"]] for stage in order]
    assert set(jobs) == {*order, "resolved-config"}
    before = {name: finished_copy.path(name).read_bytes() for stage in order for name in jobs[stage]["outputs"]}
    commands += [["resolved-config", *jobs["resolved-config"]["arguments"]], ["audit", "results", "--workers", "1"], ["summary"]]
    command = [*without_network(), sys.executable, "-c", OFFLINE, json.dumps(commands)]
    environment = os.environ | {"PYTHONPATH": str(finished_copy.path("workflow")), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=finished_copy.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"failed": [], "attempts": []}, done.stderr
    assert [name for name, data in before.items() if finished_copy.path(name).read_bytes() != data] == []


def without_network():
    """For root on Linux a namespace without any interface, so that compiled code can reach nothing either."""
    command = ["unshare", "--net"]
    works = sys.platform.startswith("linux") and shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True).returncode == 0
    return command if works else []


# -- results folders of others -----------------------------------------------------------------------------------------------

CONFUSIONS = [None, "x", [], {}, [[]], {"a": []}, -1]


def places_of_json(value, path=()):
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places_of_json(inner, (*path, key))


@pytest.mark.parametrize("seed", range(8))
def test_the_audit_survives_any_altered_json(finished_copy, capsys, seed):
    """One value of every JSON artifact and record replaced by one of another kind: problems to report, not a crash."""
    rng = np.random.default_rng(seed)
    for path in sorted(finished_copy.path("results").rglob("*.json")):
        value = json.loads(path.read_text())
        spots = list(places_of_json(value))
        # half of the time a place near the top, where readers look
        near = [spot for spot in spots if 0 < len(spot) <= 3] or spots
        chosen = (near, spots)[int(rng.integers(2))]
        spot = chosen[int(rng.integers(len(chosen)))]
        # without its configuration a family is not looked at any further
        if path != finished_copy.path("results/smoke/config.json") or seed == 0:
            path.write_text(json.dumps(replaced(value, spot, CONFUSIONS[int(rng.integers(len(CONFUSIONS)))])))
    results = finished_copy.path("results")
    numbers = ["--workers", "1"] if seed == 1 else ["--hashes-only"]
    assert cli.main(["audit", str(results), "--page", str(results / "audit.html"), *numbers]) == 1
    assert "error: " in capsys.readouterr().err


def test_names_of_files_reach_the_terminal_as_text(finished_copy, capsys, monkeypatch):
    """Neither rich's markup nor control characters in a name do anything."""
    monkeypatch.setenv("COLUMNS", "60")
    names = ["[bold]a", "[", "\\[", "c\x1b[2Jd", "e\x9b2Jf", "g\nh", "i" * 150]
    for name in names:
        finished_copy.path("results", name).mkdir()
        # with the folder's name before it, `[` or `\\[` and a slash: a closing tag of the markup
        finished_copy.path("results", name, "red]").touch()
    assert cli.main(["audit", str(finished_copy.path("results")), "--no-manifest", "--hashes-only"]) == 1
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\x9b" not in said
    # names that are longer than a line are folded, not cut
    assert "i" * 150 in re.sub(r"\s", "", said)
    assert "…" not in said
