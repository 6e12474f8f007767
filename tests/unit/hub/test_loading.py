"""Old checkpoints of Pythia: pytorch_model.bin in fp16 with buffers beside the weights, opened by the weights_only loader alone."""

import pickle

import pytest
import torch
from safetensors.torch import save_file
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from scalebound.errors import InputError
from scalebound.hub.revisions import resolve_revision
from scalebound.hub.snapshot import fetch, offline_folder
from scalebound.models.files import check_weights
from scalebound.models.loading import load_described, load_folder

CPU = torch.device("cpu")
SIZES = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 32}


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(0)
    model = GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES))
    # the name that every released file has; transformers 5 calls the head otherwise
    named = {name.replace("lm_head.", "embed_out."): tensor.half() for name, tensor in model.state_dict().items()}
    assert "embed_out.weight" in named
    return named


def old_buffers():
    """What transformers 4.20 to 4.28 stored for each layer; in fp16 the mask's -1e9 is minus infinity."""
    mask = torch.tril(torch.ones(32, 32, dtype=torch.uint8)).view(1, 1, 32, 32)
    found = {}
    for layer in range(2):
        prefix = f"gpt_neox.layers.{layer}.attention"
        found |= {f"{prefix}.bias": mask.clone(), f"{prefix}.masked_bias": torch.tensor(-1e9).half(), f"{prefix}.rotary_emb.inv_freq": torch.ones(1)}
    return found


@pytest.fixture
def folder(tmp_path):
    GPTNeoXConfig(**SIZES).save_pretrained(tmp_path)
    return tmp_path


def assert_equal(model, weights):
    found = {name.replace("lm_head.", "embed_out."): tensor for name, tensor in model.state_dict().items()}
    assert model.dtype == torch.float32
    assert set(found) == set(weights)
    assert all(torch.equal(found[name], tensor.float()) for name, tensor in weights.items())


def files_named(*names):
    return [{"name": name} for name in names]


def load(folder, *weights):
    return load_folder(folder, CPU, "float32", 8, weights)[0]


@pytest.mark.parametrize("zipped", [True, False])
def test_bin_with_old_buffers(folder, weights, zipped):
    torch.save(weights | old_buffers(), folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    check_weights(folder, files_named("pytorch_model.bin"))
    assert_equal(load(folder, "pytorch_model.bin"), weights)


def test_bins_are_opened_in_released_checkpoints_alone(folder, weights):
    torch.save(weights, folder / "pytorch_model.bin")
    description = {"folder": str(folder), "files": files_named("config.json", "pytorch_model.bin")}
    with pytest.raises(InputError, match="no safetensors among its files"):
        load_described(description, CPU, "float32", 8)
    with pytest.raises(InputError, match=r"model.safetensors: not a readable safetensors file"):
        load_folder(folder, CPU, "float32", 8)


def test_safetensors_with_old_buffers(folder, weights):
    save_file(weights | old_buffers(), folder / "model.safetensors", metadata={"format": "pt"})
    check_weights(folder, files_named("model.safetensors"))
    assert_equal(load(folder, "model.safetensors"), weights)


def sharded(folder, weights):
    """Names of two shards."""
    names, shards = sorted(weights), [f"pytorch_model-0000{number}-of-00002.bin" for number in (1, 2)]
    for shard, part in zip(shards, (names[:9], names[9:])):
        torch.save({name: weights[name] for name in part}, folder / shard)
    return shards


def test_sharded_bin(folder, weights):
    assert_equal(load(folder, *sharded(folder, weights)), weights)


def test_a_tensor_that_lies_in_two_files_is_refused(folder, weights):
    first, second = sharded(folder, weights)
    torch.save(weights, folder / second)
    with pytest.raises(InputError, match=f"{second}: holds {sorted(weights)[0]}, which lies in another"):
        load(folder, first, second)


def test_no_file_but_those_that_are_named_plays_a_part(folder, weights):
    """A cache that others use too may hold both formats of a commit, an adapter, and weights in the format of another program."""
    save_file(weights, folder / "mine.safetensors", metadata={"format": "pt"})
    foreign = {name: tensor + 1 for name, tensor in weights.items()}
    sharded(folder, foreign)
    for name in ("model.safetensors", "consolidated.safetensors", "adapter_model.safetensors", "shard-00000-model-00001-of-00001.safetensors"):
        save_file(foreign, folder / name, metadata={"format": "pt"})
    (folder / "pytorch_model.bin.index.json").write_text("junk")
    (folder / "model.safetensors.index.json").write_text("junk")
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "another/model", "peft_type": "LORA"}')
    (folder / "generation_config.json").write_text("junk")
    assert_equal(load(folder, "mine.safetensors"), weights)


@pytest.mark.parametrize("key", ["gpt_neox.layers.7.attention.dense.weight", "embed_out.bias", "stray.weight"])
@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_real_left_over_weights_are_refused(folder, weights, suffix, key):
    content = weights | old_buffers() | {key: torch.zeros(16)}
    name = {"bin": "pytorch_model.bin", "safetensors": "model.safetensors"}[suffix]
    if suffix == "bin":
        torch.save(content, folder / name)
    else:
        save_file(content, folder / name, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"unexpected keys"):
        load(folder, name)


def test_missing_weights_are_refused(folder, weights):
    torch.save({name: tensor for name, tensor in weights.items() if name != "embed_out.weight"}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"missing keys: \['lm_head.weight'\]"):
        load(folder, "pytorch_model.bin")


def test_nan_in_a_bin_is_refused(folder, weights):
    torch.save(weights | {"embed_out.weight": weights["embed_out.weight"] * float("nan")}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"embed_out.weight holds NaN or infinity"):
        check_weights(folder, files_named("pytorch_model.bin"))


class Malicious:
    def __init__(self, owned):
        self.owned = owned

    def __reduce__(self):
        return open, (str(self.owned), "w")


def damaged(content, owned):
    return {
        "code": pickle.dumps(Malicious(owned)),
        "empty": b"",
        "text": b"version https://git-lfs.github.com/spec/v1\n",
        "junk": b"junk",
        "cut": content[: len(content) // 2],
    }


@pytest.mark.parametrize("kind", ["code", "empty", "text", "junk", "cut"])
def test_what_is_no_weight_file_is_one_message_and_never_run(folder, weights, tmp_path, kind):
    path, owned = folder / "pytorch_model.bin", tmp_path / "owned"
    torch.save(weights, path)
    path.write_bytes(damaged(path.read_bytes(), owned)[kind])
    with pytest.raises(InputError):
        check_weights(folder, files_named("pytorch_model.bin"))
    with pytest.raises(InputError):
        load(folder, "pytorch_model.bin")
    assert not owned.exists()


@pytest.mark.parametrize("content", [[torch.zeros(3)], {"step": 3}, torch.zeros(3)])
def test_what_is_no_table_of_tensors_is_refused(folder, content):
    torch.save(content, folder / "pytorch_model.bin")
    for action in (lambda: check_weights(folder, files_named("pytorch_model.bin")), lambda: load(folder, "pytorch_model.bin")):
        with pytest.raises(InputError, match=r"pytorch_model.bin: is no table of tensors"):
            action()


def test_code_inside_an_archive_of_tensors_is_refused(folder, weights, tmp_path):
    torch.save(weights | {"x": Malicious(tmp_path / "owned")}, folder / "pytorch_model.bin")
    for action in (lambda: check_weights(folder, files_named("pytorch_model.bin")), lambda: load(folder, "pytorch_model.bin")):
        with pytest.raises(InputError, match=r"more than tensors"):
            action()
    assert not (tmp_path / "owned").exists()


def test_from_a_hub_to_a_model(hub, waits, folder, weights):
    """A branch of a Pythia repository as it was in 2023."""
    torch.save(weights | old_buffers(), folder / "pytorch_model.bin")
    (folder / "tokenizer.json").write_text("{}")
    hub.add_model("org/old", {"step1": folder})
    resolved = resolve_revision("org/old", "step1", 1, patience=waits.patience)
    assert resolved["format"] == "bin"
    fetch(resolved, waits.patience)
    hub.stop()
    place = offline_folder("org/old", resolved["commit"], [file["path"] for file in resolved["files"]])
    assert_equal(load(place, *resolved["weights"]), weights)
