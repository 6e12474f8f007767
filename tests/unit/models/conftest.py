"""Tiny real models of transformers, saved in folders of their own."""

import json

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)
    transformers_logging.disable_progress_bar()


@pytest.fixture
def save_random(tmp_path):
    """(model type, changes of config.json, settings) -> folder of a random model whose matrices are large enough for its logits to differ."""

    def save(name, changes=None, **settings):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, bos_token_id=0, eos_token_id=0, pad_token_id=0, **settings))
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(max(1.0, 0.2 / float(parameter.std())))
        model.save_pretrained(tmp_path / "model")
        path = tmp_path / "model" / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | (changes or {})))
        return tmp_path / "model"

    return save
