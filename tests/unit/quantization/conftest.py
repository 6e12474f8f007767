"""Tiny random causal language models of five families, made from configurations: nothing is downloaded."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from scalebound.artifacts import atomic
from scalebound.commands import decode
from scalebound.models import architecture, files, loading
from scalebound.quantization import message, storage

VOCABULARY, LENGTH = 61, 16
# weights of standard deviation 0.2: with the usual 0.02 all logits of so narrow a model would be nearly equal
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": LENGTH}
TOKENS = {"bos_token_id": 0, "eos_token_id": 0}
FAMILIES = {
    "gpt_neox": {"intermediate_size": 24, "initializer_range": 0.2},
    "gpt2": {"n_inner": 24, "initializer_range": 0.2},
    "llama": {"intermediate_size": 24, "num_key_value_heads": 1, "initializer_range": 0.2},
    "opt": {"ffn_dim": 24, "word_embed_proj_dim": 16, "init_std": 0.2},
    "qwen2": {"intermediate_size": 24, "num_key_value_heads": 1, "tie_word_embeddings": True, "initializer_range": 0.2},
}
CPU = torch.device("cpu")


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)
    transformers_logging.disable_progress_bar()


@pytest.fixture(scope="session")
def save_model(tmp_path_factory):
    """(model type, configuration) -> a random model's name, folder and architecture."""

    def save(name, **settings):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **settings))
        with torch.no_grad():
            # biases and norms that are not all 0 or all 1, so that a mistake in them shows
            for parameter in model.parameters():
                if parameter.ndim <= 1:
                    parameter.add_(0.1 * torch.randn(parameter.shape))
        folder = tmp_path_factory.mktemp(name)
        model.save_pretrained(folder)
        return SimpleNamespace(name=name, folder=folder, architecture=architecture.describe(folder))

    return save


@pytest.fixture(scope="session", params=sorted(FAMILIES))
def saved(request, save_model):
    """A random model of each family."""
    return save_model(request.param, **SIZES, **TOKENS, **FAMILIES[request.param])


@pytest.fixture(scope="session")
def saved_neox(save_model):
    return save_model("gpt_neox", **SIZES, **TOKENS, **FAMILIES["gpt_neox"])


@pytest.fixture(scope="session")
def load():
    """folder -> the model in it, in float32."""
    return lambda folder: loading.load_folder(folder, CPU, "float32", LENGTH)[0]


@pytest.fixture(scope="session")
def calibration():
    return np.random.default_rng(1).integers(0, VOCABULARY, (12, LENGTH))


@pytest.fixture
def decoded(tmp_path):
    """(integers, architecture) -> the model rebuilt from their message, by way of every file that `scalebound` writes."""

    def through_files(tensors, described):
        storage.write(tmp_path / "codes.safetensors", tensors, {"stage": "quantize"})
        data, _ = message.encode(storage.read(tmp_path / "codes.safetensors"), described)
        (tmp_path / "model.sbq").write_bytes(data)
        atomic.write_json(tmp_path / "architecture.json", {"identity": {"stage": "resolve"}, **described})
        decode.run(SimpleNamespace(message=tmp_path / "model.sbq", architecture=tmp_path / "architecture.json", out=tmp_path / "decoded"))
        description = files.read_description(tmp_path / "decoded" / "decoded.json")
        return loading.load_described(description, CPU, "float32", LENGTH)[0]

    return through_files
