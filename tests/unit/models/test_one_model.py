"""What is loaded is what the files hold, all of it and tied as it should be, and computing leaves it so."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import RwkvForCausalLM

from scalebound import cli
from scalebound.errors import InputError
from scalebound.models import files, loading, unaltered

CPU, LENGTH = torch.device("cpu"), 16
SIZES = {"vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 32}
LLAMA = {**SIZES, "num_key_value_heads": 1, "tie_word_embeddings": True}
RWKV = {"vocab_size": 61, "hidden_size": 16, "attention_hidden_size": 16, "num_hidden_layers": 4, "context_length": 32, "rescale_every": 1}
ROW = {"slug": "a", "family": "b", "source": "local", "repo": "r", "revision": "-", "step": 1, "tokens_seen": 1, "stream": "s"}


def load(folder, weights=None, dtype="float32"):
    return loading.load_folder(folder, CPU, dtype, LENGTH, weights)[0]


def rewrite(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def assert_is_in(model, path):
    """Every weight of the model is that of the file, bit by bit; a tied one is stored once."""
    stored, found = load_file(path), model.state_dict()
    assert set(stored) <= set(found)
    assert {tensor.data_ptr() for tensor in found.values()} == {found[name].data_ptr() for name in stored}
    assert all(torch.equal(found[name], tensor) for name, tensor in stored.items())


# -- a forward pass that changes weights ---------------------------------------------------------------------------------


def test_rwkv_is_what_its_file_holds_after_it_has_computed(save_random):
    """It would divide the weights of layer k by 2^k in its first pass."""
    folder = save_random("rwkv", **RWKV)
    model = load(folder)
    tokens = torch.randint(61, (2, LENGTH), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        first = model(input_ids=tokens).logits
    assert_is_in(model, folder / "model.safetensors")
    # what it computes is what it was trained to compute; rescaled, the epsilon of its norms weighs more
    other = RwkvForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    with torch.no_grad():
        assert torch.allclose(other.train()(input_ids=tokens).logits, first, atol=1e-6)
        assert torch.allclose(other.eval()(input_ids=tokens).logits, first, atol=1e-2)
    with pytest.raises(AssertionError):
        assert_is_in(other, folder / "model.safetensors")


def test_without_its_setting_rwkv_is_refused(save_random, monkeypatch):
    monkeypatch.setattr(loading, "_LEAVES_WEIGHTS_ALONE", {})
    with pytest.raises(InputError, match=r"a forward pass changes its weight rwkv.blocks.1.attention.output.weight"):
        load(save_random("rwkv", **RWKV))


CHANGES = {
    "a scale": lambda weight: weight.mul_(0.5),
    "the last bit of one entry": lambda weight: weight.view(torch.int32)[3, 2].bitwise_xor_(1),
    "the sign of a zero": lambda weight: weight.view(torch.int32)[0, 0].bitwise_xor_(-(2**31)),
    "two entries that change places": lambda weight: weight[0, :2].copy_(weight[0, :2].flip(0).clone()),
    "two rows that change places": lambda weight: weight[:2].copy_(weight[:2].flip(0).clone()),
}


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("block", [7, unaltered.BLOCK])
def test_every_change_of_a_weight_is_seen(save_random, monkeypatch, kind, block):
    monkeypatch.setattr(unaltered, "BLOCK", block)
    model = load(save_random("gpt_neox", **SIZES))
    before = unaltered.fingerprints(model)
    unaltered.check(model, before, "here")
    with torch.no_grad():
        CHANGES[kind](model.gpt_neox.layers[2].mlp.dense_4h_to_h.weight)
    with pytest.raises(InputError, match=r"here: a forward pass changes its weight gpt_neox.layers.2.mlp.dense_4h_to_h.weight"):
        unaltered.check(model, before, "here")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_pass_that_replaces_a_weight_or_untie_it_is_seen(save_random, dtype):
    model = load(save_random("llama", **LLAMA), dtype=dtype)
    before = unaltered.fingerprints(model)
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight * 2)
    with pytest.raises(InputError, match=r"changes its weight lm_head.weight"):
        unaltered.check(model, before, "here")


# -- which weights are the model's ---------------------------------------------------------------------------------------


def test_a_tied_model_may_store_its_matrix_twice(save_random):
    folder = save_random("llama", **LLAMA)
    rewrite(folder, lambda tensors: tensors.update({"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}))
    model = load(folder)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_a_tied_model_may_store_its_head_alone(save_random):
    folder = save_random("llama", **LLAMA)
    rewrite(folder, lambda tensors: tensors.update({"lm_head.weight": tensors.pop("model.embed_tokens.weight")}))
    model = load(folder)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def resolve(folder, out):
    arguments = ["--settings", json.dumps(ROW), "--folder", folder, "--out", out / "resolved.json", "--out-architecture", out / "architecture.json"]
    return cli.main(["resolve", *map(str, arguments)])


def another_generation(folder):
    """Shards and index of other weights beside the file of these."""
    tensors = {name: tensor + 1 for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model-00001-of-00001.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict.fromkeys(tensors, "model-00001-of-00001.safetensors")}))


def configuration_in_another_file(folder):
    shutil.copy(folder / "config.json", folder / "config.4.0.0.json")
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | {"configuration_files": ["config.4.0.0.json"]}))


REFUSED = {
    "a foreign head": (
        lambda folder: rewrite(folder, lambda tensors: tensors.update({"lm_head.weight": tensors["model.embed_tokens.weight"] + 0.1})),
        "lm_head.weight, which config.json ties to model.embed_tokens.weight, has values of its own. Set tie_word_embeddings to false",
    ),
    "a head of another vocabulary": (
        lambda folder: rewrite(folder, lambda tensors: tensors.update({"lm_head.weight": torch.zeros(60, 16)})),
        "its weights cannot be loaded",
    ),
    "a weight of another shape": (
        lambda folder: rewrite(folder, lambda tensors: tensors.update({"model.norm.weight": torch.zeros(17)})),
        "mismatched keys",
    ),
    "a weight that is missing": (lambda folder: rewrite(folder, lambda tensors: tensors.pop("model.norm.weight")), "config.json describes"),
    "a weight that is missing beside one too many": (
        lambda folder: rewrite(folder, lambda tensors: tensors.update({"other": tensors.pop("model.norm.weight")})),
        "missing keys: ['model.norm.weight']",
    ),
    "a weight too many": (lambda folder: rewrite(folder, lambda tensors: tensors.update({"other": torch.zeros(3)})), "unexpected keys"),
    "two generations": (another_generation, "holds model.safetensors beside model-00001-of-00001.safetensors, and either could be the model"),
    "an adapter": (lambda folder: (folder / "adapter_config.json").write_text("{}"), "holds adapter_config.json beside model.safetensors"),
    "a configuration in another file": (configuration_in_another_file, "sets configuration_files"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_one_model_is_refused_when_it_is_resolved_and_when_it_is_loaded(save_random, tmp_path, capsys, kind):
    folder = save_random("llama", **LLAMA)
    damage, words = REFUSED[kind]
    damage(folder)
    assert resolve(folder, tmp_path / "out") == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError) as error:
        load(folder)
    assert words in str(error.value)


def test_only_files_that_are_read_are_listed_and_others_play_no_part(save_random, tmp_path):
    """Before and after the checkpoint is resolved."""
    folder = save_random("llama", **LLAMA)
    foreign = {name: tensor + 1 for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(foreign, folder / "consolidated.safetensors")
    assert resolve(folder, tmp_path) == 0
    description = files.read_description(tmp_path / "resolved.json")
    assert [file["name"] for file in description["files"]] == ["config.json", "model.safetensors"]
    # what would be another model to whoever looked for files again
    save_file(foreign, folder / "model-00001-of-00001.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict.fromkeys(foreign, "model-00001-of-00001.safetensors")}))
    model, _ = loading.load_described(files.read_description(tmp_path / "resolved.json"), CPU, "float32", LENGTH)
    assert_is_in(model, folder / "model.safetensors")
