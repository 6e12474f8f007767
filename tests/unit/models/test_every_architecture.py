"""Random tiny models of the causal architectures of transformers, through every step: each passes, or ends in the message of docs/architectures.md.

A few dozen, drawn by the seed, and the configurations of tests/architectures.json, which have failed before or are popular. Environment:
SCALEBOUND_FUZZ=all takes every architecture (`make fuzz`), SCALEBOUND_FUZZ_SEED another seed.
"""

import json
import os
import re
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tiny_architectures
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModelForCausalLM

from scalebound.commands.decode import write_model
from scalebound.configuration.config import Quantizer
from scalebound.configuration.rate import RateSettings
from scalebound.errors import InputError
from scalebound.models import architecture, loading
from scalebound.quantization import calibration, message
from scalebound.quantization.rate import message as rate_message
from scalebound.quantization.rate.compress import compress
from scalebound.quantization.whole_model import quantize_model
from scalebound.scoring import scoring

ROOT = Path(__file__).resolve().parents[3]
CASES = json.loads((ROOT / "tests/architectures.json").read_text())
SEED = int(os.environ.get("SCALEBOUND_FUZZ_SEED", 0))
FEW = 24
CPU, INPUTS, WINDOWS, TUNED_STEPS = torch.device("cpu"), 16, 24, 3
LARGEST = 4_000_000  # parameters: some architectures are large whatever their configuration says
# nats by which 8 bits may move the mean loss on so few tokens; in a random model a router or an index may pick another of nearly equal ones
MOVED, MOVED_AT_RANDOM = 0.011, 0.06


def drawn():
    if os.environ.get("SCALEBOUND_FUZZ") == "all":
        return tiny_architectures.MODEL_TYPES
    return sorted(np.random.default_rng(SEED).choice(tiny_architectures.MODEL_TYPES, FEW, replace=False).tolist())


def documented():
    """{model type: outcomes} of the table of docs/architectures.md: `passes`, or words of a message."""
    found = {}
    for line in (ROOT / "docs/architectures.md").read_text().splitlines():
        if match := re.fullmatch(r"\| (passes|`.+`) \| ([a-z0-9_, -]+) \|", line):
            for name in match[2].split(", "):
                found.setdefault(name, []).append(match[1].strip("`"))
    return found


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def test_every_causal_architecture_of_transformers_is_documented():
    assert set(documented()) == set(tiny_architectures.MODEL_TYPES)


@pytest.mark.parametrize("model_type", drawn())
def test_a_random_configuration_passes_every_step_or_ends_in_the_documented_message(model_type, tmp_path):
    try:
        config = tiny_architectures.configuration(model_type, SEED)
        AutoConfig.for_model(model_type, **config).save_pretrained(tmp_path)
    except (ValueError, TypeError, AttributeError, ImportError, StrictDataclassError):
        # a configuration that cannot be made at all, as that of a draft model without its target: a bare one has to be refused
        config = {}
        (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    outcome, wanted = through_every_step(model_type, config, tmp_path, MOVED_AT_RANDOM), documented()[model_type]
    assert any(words in outcome for words in wanted), (outcome, wanted, config)


@pytest.mark.parametrize("name", CASES)
def test_the_listed_configurations_pass_every_step_but_the_one_that_is_not_causal(name, tmp_path):
    model_type, config = CASES[name]["model_type"], CASES[name]["config"]
    AutoConfig.for_model(model_type, **config).save_pretrained(tmp_path)
    outcome = through_every_step(model_type, config, tmp_path, MOVED)
    assert ("sees what it predicts" in outcome) if name == "bert" else outcome == "passes"


def through_every_step(model_type, config, folder, moved):
    """`passes`, or the message that ends the way of a model: at resolving, at loading, or of compressing alone."""
    try:
        described = architecture.describe(folder)
        save_random(model_type, config, folder)
        model = load(folder)
    except InputError as error:
        return str(error)
    tokens = np.random.default_rng(SEED).integers(1, tiny_architectures.VOCABULARY - 1, (WINDOWS, INPUTS + 1))
    before = losses_are_those_of_the_logits(model, tokens)
    after = quantize_and_decode(model, described, tokens, folder)
    assert abs(float(after.nll.mean() - before.nll.mean())) < moved
    try:
        compress_and_decode(described, tokens, folder)
    except InputError as error:
        if "gradient" not in str(error):
            raise
        return str(error)
    return "passes"


def load(folder):
    return loading.load_folder(folder, CPU, "float32", INPUTS)[0]


def save_random(model_type, config, folder):
    """Weights of the configuration in `folder`, matrices spread so that logits differ, biases and gains neither all 0 nor all 1."""
    text = (folder / "config.json").read_text()
    torch.manual_seed(SEED)
    with torch.device("meta"):
        size = sum(p.numel() for p in AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).parameters())
    assert size < LARGEST, f"{size} parameters: {config}"
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    with torch.no_grad():
        for parameter in model.parameters():
            spread = float(parameter.std()) if parameter.numel() > 1 else 0.0
            if parameter.ndim < 2:
                parameter.add_(0.1 * torch.randn(parameter.shape))
            elif not spread:
                parameter.normal_(0, 0.2)
            elif spread < 0.2:
                parameter.mul_(0.2 / spread)
    model.save_pretrained(folder)
    # as released: of a configuration with several parts, a model saves its own alone
    (folder / "config.json").write_text(text)


def losses_are_those_of_the_logits(model, tokens):
    """Scores of `tokens`, equal to losses computed from all logits."""
    scores = scoring.score(model, tokens)
    with torch.no_grad():
        logits = model(input_ids=torch.from_numpy(tokens[:, :-1])).logits.float().log_softmax(-1)
    direct = -logits.gather(-1, torch.from_numpy(tokens[:, 1:, None]))[..., 0].numpy()
    np.testing.assert_allclose(scores.nll, direct, atol=2e-4)
    return scores


def quantize_and_decode(model, described, tokens, folder):
    """Scores of the model after GPTQ at 8 bits in place, which are those of the decoded one."""
    done = quantize_model(model, described["parameters"], Quantizer(method="gptq", bits=8), tokens[:, :-1])
    assert codes_of(done) == codes_of(quantized_by_block_from_the_start(described, tokens, folder))
    data, _ = message.encode({name: q.tensor for name, q in done.items()}, described)
    in_place = scoring.score(model, tokens)
    write_model(data, described, folder / "decoded", "message")
    np.testing.assert_allclose(scoring.score(load(folder / "decoded"), tokens).nll, in_place.nll, atol=1e-6)
    return in_place


def quantized_by_block_from_the_start(described, tokens, folder):
    """What `quantize_model` returns of the model held a block at a time, each calibrated by passes that begin at the start."""
    model, weights, _ = loading.load_by_block(folder, CPU, INPUTS)
    with mock.patch.object(calibration, "replay", return_value=None):
        return quantize_model(model, described["parameters"], Quantizer(method="gptq", bits=8), tokens[:, :-1], weights=weights)


def codes_of(done):
    return {name: [getattr(q.tensor, part).tobytes() for part in ("codes", "scales", "zeros")] for name, q in done.items()}


def compress_and_decode(described, tokens, folder):
    """Rounding at a rate and a few steps of tuning give codes that survive their message."""
    model, predictions = load(folder), 20 * described["n_params"]
    settings = RateSettings(exchange=6.5, sensitivity_windows=2, tuning={"share_of_training": TUNED_STEPS * 2 * INPUTS / predictions})
    found = compress(model, described["parameters"], settings, tokens, tokens, predictions)
    assert found.tuned_tokens == TUNED_STEPS * 2 * INPUTS
    data, _ = rate_message.encode(found.tensors, described)
    write_model(data, described, folder / "compressed", "message")
    np.testing.assert_allclose(scoring.score(load(folder / "compressed"), tokens).nll, scoring.score(model, tokens).nll, atol=1e-6)
