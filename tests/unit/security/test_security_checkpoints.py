"""A hostile checkpoint is refused with one message: it runs no code, opens no other file, and takes little time and memory."""

import contextlib
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hostile import HOSTILE_TENSORS, Malicious
from limited import guarded, linux
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch_file
from safetensors.torch import save_file as save_torch_file
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from scalebound import cli
from scalebound.artifacts import provenance
from scalebound.errors import InputError
from scalebound.models import architecture, files, loading
from scalebound.quantization import storage

CPU = torch.device("cpu")


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
    return loading.load_folder(folder, CPU, "float32", 8)


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
    assert "no safetensors in it" in capsys.readouterr().err
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


@linux
@pytest.mark.parametrize("name", HOSTILE_TENSORS)
def test_a_hostile_safetensors_file_is_refused_without_memory_for_it(tmp_path, name):
    path = tmp_path / "model.safetensors"
    path.write_bytes(HOSTILE_TENSORS[name])
    assert guarded(lambda: files.check_finite(path), megabytes=500) == "InputError"
    assert guarded(lambda: storage.read(path), megabytes=500) == "InputError"


NARROW = [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e8m0fnu, torch.float4_e2m1fn_x2]


@pytest.mark.parametrize("declared", [{}, {"quantization_config": {"quant_method": "fp8"}}])
@pytest.mark.parametrize("kind", NARROW, ids=str)
def test_weights_of_less_than_sixteen_bits_are_one_message_with_and_without_a_word_in_the_configuration(model, tmp_path, capsys, kind, declared):
    """They stand for others only together with scales beside them; most operations of torch are not there for their types."""
    weights = load_torch_file(model / "model.safetensors")
    name = "gpt_neox.layers.0.attention.dense.weight"
    weights[name] = torch.zeros(weights[name].shape, dtype=torch.uint8).view(kind)
    save_torch_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    change_config(model, **declared)
    row = {"slug": "a", "family": "f", "source": "local", "repo": str(model), "revision": "-", "step": 1, "tokens_seen": 16, "stream": "s"}
    outputs = ["--out", str(tmp_path / "resolved.json"), "--out-architecture", str(tmp_path / "architecture.json")]
    assert cli.main(["resolve", "--settings", json.dumps(row), "--folder", str(model), *outputs]) == 1
    said = capsys.readouterr().err
    assert name in said
    assert "16, 32 and 64 bits" in said
    assert "Traceback" not in said
    assert not (tmp_path / "resolved.json").exists()


@pytest.mark.parametrize("kind", NARROW, ids=str)
def test_narrow_weights_in_a_bin_are_refused_too(tmp_path, kind):
    torch.save({"a": torch.zeros(2, 2, dtype=torch.uint8).view(kind)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"tensor a is stored as F[48]"):
        files.check_weights(tmp_path, [{"name": "pytorch_model.bin"}])


def test_a_model_description_cannot_pass_off_other_files(model, tmp_path):
    """A description may name any folder, but only files that have the digests in it are read."""
    (tmp_path / "secret").write_text("secret")
    for name in ("../secret", str(tmp_path / "secret")):
        describe_files(tmp_path, model, ["config.json", "model.safetensors"], {"name": name, "sha256": "0" * 64})
        with pytest.raises(InputError, match="secret: sha256"):
            files.read_description(tmp_path / "resolved.json")


@pytest.mark.parametrize("listed", [[], ["config.json"], ["model.safetensors"]])
def test_no_file_that_is_opened_is_left_out_of_a_model_description(model, tmp_path, listed):
    describe_files(tmp_path, model, ["config.json", "model.safetensors"])
    assert files.read_description(tmp_path / "resolved.json")["folder"] == str(model)
    describe_files(tmp_path, model, listed)
    with pytest.raises(InputError, match="no sha256 of"):
        files.read_description(tmp_path / "resolved.json")


def describe_files(folder, model, names, *more):
    """Write resolved.json with the digests of these files, and other entries."""
    files = provenance.describe_files(model, names)
    description = {"identity": {"stage": "resolve"}, "folder": str(model), "vocab_size": 20, "files": [*files, *more]}
    (folder / "resolved.json").write_text(json.dumps(description))
