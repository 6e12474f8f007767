"""Whole models of five families through quantization, message and decoder: nothing is lost on the way."""

import copy
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from scalebound.configuration.config import GridQuantizer, Quantizer, parse
from scalebound.errors import InputError
from scalebound.quantization import gptq, message, rtn
from scalebound.quantization.calibration import layer_groups, second_moments
from scalebound.quantization.integers import from_matrix, to_matrix
from scalebound.quantization.products import Products
from scalebound.quantization.whole_model import gptq_share, quantize_model
from scalebound.scoring import scoring

SIZES = {"vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 2}
STATE_SPACE = {**SIZES, "state_size": 4, "time_step_rank": 2}
TRANSFORMER = {**SIZES, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 24}
GRIDS = [("rtn", 2), ("rtn", 4), ("gptq", 2), ("gptq", 4), ("incoherent", 2), ("incoherent", 3)]
SEED = 11
HEADS = {"embed_out.weight", "lm_head.weight"}  # of models that do not tie it; it keeps its own basis, as a tied one
# by use, what a method does with a parameter; all others are rounded to nearest
BY_USE = {
    "rtn": {},
    "gptq": {"linear": "gptq", "conv1d": "gptq", "tied": "gptq"},
    "incoherent": {"linear": "incoherent", "conv1d": "incoherent", "tied": "gptq"},
}


def weights_of(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


class Case:
    """A model quantized in place, with the weights it had before."""

    def __init__(self, saved, load, calibration, **settings):
        self.saved, self.settings = saved, parse(GridQuantizer, settings | ({"seed": SEED} if settings["method"] == "incoherent" else {}), "test")
        self.parameters = saved.architecture["parameters"]
        self.model = load(saved.folder)
        self.before = weights_of(self.model)
        self.done = quantize_model(self.model, self.parameters, self.settings, calibration)
        self.tensors = {name: q.tensor for name, q in self.done.items()}


@pytest.fixture(scope="module", params=GRIDS, ids=lambda grid: f"{grid[0]}{grid[1]}")
def case(request, saved, load, calibration):
    method, bits = request.param
    return Case(saved, load, calibration, method=method, bits=bits, group=6, vector_group=10)


def test_every_parameter_is_covered_exactly_once(case):
    assert list(case.done) == [p["name"] for p in case.parameters]
    assert set(case.done) == set(case.model.state_dict()) - set(case.saved.architecture["tied"])
    assert sum(t.codes.size for t in case.tensors.values()) == case.saved.architecture["n_params"]


def test_the_method_is_the_one_for_the_use(case):
    for parameter in case.parameters:
        result = case.done[parameter["name"]]
        wanted = BY_USE[case.settings.method].get("tied" if parameter["name"] in HEADS else parameter["use"], "rtn")
        assert result.method == wanted, parameter
        assert (result.damping, result.escalated) == (None if wanted == "rtn" else 0.01, False)
        assert result.tensor.seed == (SEED if wanted == "incoherent" else None)


def test_bits_and_groups_are_those_of_the_settings(case):
    for parameter in case.parameters:
        tensor = case.tensors[parameter["name"]]
        vector = parameter["use"] == "vector"
        assert tensor.bits == (8 if vector else case.settings.bits)
        assert tensor.group == min(10 if vector else 6, tensor.codes.shape[1])


def test_the_model_holds_the_weights_that_the_integers_stand_for(case):
    for parameter in case.parameters:
        name, result = parameter["name"], case.done[parameter["name"]]
        rebuilt = from_matrix(result.tensor.dequantize(), parameter["shape"], parameter["use"])
        weight = case.model.get_parameter(name).detach()
        assert np.array_equal(weight.numpy(), rebuilt), name
        assert not torch.equal(weight, case.before[name]), name
        error = (weight.double() - case.before[name].double()).square().sum()
        assert result.squared_error == pytest.approx(float(error), rel=1e-9)


def test_round_to_nearest_looks_at_nothing_but_the_weights(case):
    for parameter in case.parameters:
        if case.done[parameter["name"]].method == "rtn":
            tensor = case.tensors[parameter["name"]]
            alone = rtn.quantize(to_matrix(case.before[parameter["name"]], parameter["use"]), tensor.bits, tensor.group)
            assert np.array_equal(alone.codes, tensor.codes)
            assert np.array_equal(alone.scales, tensor.scales)


def test_the_decoded_model_has_the_same_weights_and_logits_bit_for_bit(case, decoded, calibration):
    rebuilt = decoded(case.tensors, case.saved.architecture)
    assert rebuilt.config.to_dict().keys() == case.model.config.to_dict().keys()
    mine, theirs = case.model.state_dict(), rebuilt.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    batch = torch.from_numpy(calibration)
    with torch.no_grad():
        assert torch.equal(case.model(input_ids=batch).logits, rebuilt(input_ids=batch).logits)


def test_tied_weights_stay_one_tensor(case, decoded):
    tied = case.saved.architecture["tied"]
    assert bool(tied) == (case.saved.name in ("gpt2", "opt", "qwen2"))
    for model in (case.model, decoded(case.tensors, case.saved.architecture)):
        for alias, name in tied.items():
            assert model.get_parameter(alias) is model.get_parameter(name)
        shared = model.get_input_embeddings().weight is model.get_output_embeddings().weight
        assert shared == bool(tied)


def test_the_message_holds_what_was_quantized(case):
    data, sizes = message.encode(case.tensors, case.saved.architecture)
    found = message.decode(data, case.saved.architecture)
    assert all(np.array_equal(found[name].codes, tensor.codes) for name, tensor in case.tensors.items())
    assert [tensor.seed for tensor in found.values()] == [tensor.seed for tensor in case.tensors.values()]
    frame = 28 if case.settings.method == "incoherent" else 24  # four bytes of it the seed
    assert sum(sizes.values()) + 8 * frame == 8 * len(data)


@pytest.mark.parametrize("method", BY_USE)
def test_the_same_model_and_calibration_give_the_same_integers(saved_neox, load, calibration, method):
    first, second = (Case(saved_neox, load, calibration, method=method, bits=3) for _ in range(2))
    assert message.encode(first.tensors, saved_neox.architecture) == message.encode(second.tensors, saved_neox.architecture)


def test_each_block_is_calibrated_on_what_is_quantized_before_it(saved, load, calibration):
    """Embeddings and vectors, then block after block, then the head; all layers of a block from the same inputs."""
    case = Case(saved, load, calibration, method="gptq", bits=2)
    use = {p["name"]: p["use"] for p in case.parameters}
    model = load(saved.folder)
    with torch.no_grad():
        if "tied" in use.values():
            moment = second_moments(model, {"head": model.get_output_embeddings()}, calibration, len(calibration))["head"]
            (name,) = (n for n, u in use.items() if u == "tied")
            assert np.array_equal(gptq.quantize(model.get_parameter(name).detach(), moment, 2).tensor.codes, case.tensors[name].codes)
        for name, parameter in model.named_parameters():
            if use[name] not in ("linear", "conv1d"):
                parameter.copy_(case.model.get_parameter(name))
        for block, layers in layer_groups(model):
            layers = {n: layer for n, layer in layers.items() if use.get(f"{n}.weight") in ("linear", "conv1d")}
            moments = second_moments(model, layers, calibration, len(calibration), stop_after=block)
            for layer in layers:
                name = f"{layer}.weight"
                expected = gptq.quantize(to_matrix(model.get_parameter(name).detach(), use[name]), moments[layer], 2)
                assert np.array_equal(expected.tensor.codes, case.tensors[name].codes), name
            for layer in layers:
                model.get_parameter(f"{layer}.weight").copy_(case.model.get_parameter(f"{layer}.weight"))


def test_escalated_damping_is_reported(saved_neox, load, calibration):
    # equal tokens: all inputs of the first block are one vector, and their second moment in float32 has rank one but for noise
    case = Case(saved_neox, load, np.zeros_like(calibration[:1]), method="gptq", bits=4, damping=1e-10)
    first = case.done["gpt_neox.layers.0.attention.query_key_value.weight"]
    assert first.escalated
    assert 1e-10 < first.damping <= 1e-4
    assert all(q.escalated == (q.damping > 1e-10) for q in case.done.values() if q.method == "gptq")


def without_one(weights):
    del weights["gpt_neox.layers.1.attention.dense.weight"]


def with_one_more(weights):
    weights["gpt_neox.layers.2.attention.dense.weight"] = torch.ones(16, 16)


def with_another_shape(weights):
    weights["gpt_neox.layers.1.attention.dense.weight"] = torch.ones(16, 8)


def with_weights(saved, folder, change):
    """A copy of a saved model in `folder`, its weights changed."""
    for file in saved.folder.iterdir():
        shutil.copy(file, folder)
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("change", [without_one, with_one_more, with_another_shape])
def test_weights_that_are_not_those_of_the_configuration_are_refused_not_filled_at_random(change, saved_neox, load, tmp_path):
    with pytest.raises(InputError):
        load(with_weights(saved_neox, tmp_path, change))


def test_a_truncated_file_of_weights_is_refused(saved_neox, load, tmp_path):
    path = with_weights(saved_neox, tmp_path, lambda weights: None) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError):
        load(tmp_path)


def test_a_head_of_its_own_under_a_configuration_that_ties_it_is_refused(save_model, load, calibration, tmp_path):
    # transformers then leaves the two apart: the architecture, made from the configuration alone, lacks a parameter
    saved = save_model("qwen2", **TRANSFORMER, tie_word_embeddings=True)
    folder = with_weights(saved, tmp_path, lambda weights: weights.update({"lm_head.weight": torch.ones(61, 16)}))
    with pytest.raises(InputError):
        quantize_model(load(folder), saved.architecture["parameters"], Quantizer(method="rtn", bits=4), calibration)


@pytest.mark.parametrize("method", BY_USE)
def test_parameters_that_nothing_is_multiplied_with_are_rounded_to_nearest(method, save_model, load, calibration, decoded):
    saved = save_model("mamba", **STATE_SPACE)
    case = Case(saved, load, calibration, method=method, bits=4)
    assert list(case.done) == [p["name"] for p in case.parameters]
    others = [p for p in case.parameters if p["use"] == "other"]
    assert any(len(p["shape"]) == 3 for p in others)
    assert all(case.done[p["name"]].method == "rtn" for p in others)
    rebuilt = decoded(case.tensors, saved.architecture).state_dict()
    assert all(torch.equal(weight, rebuilt[key]) for key, weight in case.model.state_dict().items())


MIXTURES = {
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 8},
    "llama4_text": {"num_local_experts": 4, "num_experts_per_tok": 1, "head_dim": 8, "moe_layers": [0, 1], "intermediate_size_mlp": 24},
    "jetmoe": {"num_local_experts": 4, "num_experts_per_tok": 2, "kv_channels": 8},
}


@pytest.fixture(scope="module", params=MIXTURES)
def mixture(request, save_model):
    """A mixture whose experts lie in one parameter: grouped products, transposed ones, a batch of all, one after the other."""
    return save_model(request.param, **TRANSFORMER, initializer_range=0.2, **MIXTURES[request.param])


def fused(saved):
    return [p for p in saved.architecture["parameters"] if p["use"] == "fused"]


@pytest.mark.parametrize("method", BY_USE)
def test_fused_experts_have_a_scale_for_each_row_and_are_rounded_by_gptq_where_inputs_are_known(method, mixture, load, calibration, decoded):
    case = Case(mixture, load, calibration, method=method, bits=4)
    parameters = fused(mixture)
    assert parameters
    for parameter in parameters:
        result, (count, rows, columns) = case.done[parameter["name"]], parameter["shape"]
        assert result.tensor.scales.shape == (count * rows, 1)
        assert result.tensor.codes.shape == (count * rows, columns)
        assert (result.method, result.share) == (("rtn", 0.0) if method == "rtn" else ("gptq", 1.0)), parameter
    share = gptq_share(case.done, case.parameters)
    assert share == (0 if method == "rtn" else pytest.approx(1, abs=0.05))  # biases of experts are in no product
    rebuilt = decoded(case.tensors, mixture.architecture).state_dict()
    assert all(torch.equal(weight, rebuilt[key]) for key, weight in case.model.state_dict().items())


def test_experts_rounded_by_gptq_lose_less_of_their_output_than_rounded_to_nearest(mixture, load, calibration):
    """tr(D H D^T) over all experts, D what rounding changes in them and H the second moment of their inputs."""
    model = load(mixture.folder)
    weights = {p["name"]: model.get_parameter(p["name"]).detach() for p in fused(mixture)}
    with torch.no_grad(), Products(weights) as products:
        model(input_ids=torch.from_numpy(calibration))
    lost = {}
    for method in ("rtn", "gptq"):
        done = Case(mixture, load, calibration, method=method, bits=4).done
        for name, weight in weights.items():
            change = weight - torch.from_numpy(done[name].tensor.dequantize()).reshape(weight.shape)
            parts = [(part.of(change).double(), moment) for part, moment in products.moments[name].items()]
            lost[method, name] = sum(float((d @ moment * d).sum()) for d, moment in parts)
    assert all(lost["gptq", name] < 0.9 * lost["rtn", name] for name in weights), lost


def test_experts_that_no_token_reaches_are_rounded_to_nearest_and_the_share_says_so(save_model, load, calibration):
    saved = save_model("mixtral", **TRANSFORMER, initializer_range=0.2, num_local_experts=8, num_experts_per_tok=1)
    case = Case(saved, load, calibration[:1, :3], method="gptq", bits=4)
    (first, *_) = fused(saved)
    reached = case.done[first["name"]].share
    assert 0 < reached <= 3 / 8
    tensor, rows = case.done[first["name"]].tensor, first["shape"][1]
    alone = rtn.quantize(to_matrix(case.before[first["name"]], "fused"), 4, 0)
    same = [np.array_equal(tensor.codes[k * rows : (k + 1) * rows], alone.codes[k * rows : (k + 1) * rows]) for k in range(8)]
    assert sum(same) >= 8 - 8 * reached
    assert gptq_share(case.done, case.parameters) < 0.9


def test_a_parameter_of_eight_experts_has_a_scale_for_each_of_384_rows():
    weight = torch.randn(8, 48, 16, generator=torch.Generator().manual_seed(0)) * torch.logspace(-2, 0, 48)[None, :, None]
    found = rtn.quantize(to_matrix(weight, "fused"), 4, 0)
    assert found.scales.shape == (384, 1)
    error = np.square(from_matrix(found.dequantize(), weight.shape, "fused") - weight.numpy()).sum() / float(weight.square().sum())
    per_expert = rtn.quantize(weight.reshape(8, -1), 4, 0)
    assert error < 0.5 * np.square(per_expert.dequantize().reshape(weight.shape) - weight.numpy()).sum() / float(weight.square().sum())


def train_briefly():
    """A GPT-NeoX model that has learned a random walk over its vocabulary, and windows of that walk."""
    vocabulary, length = 48, 17
    config = {"hidden_size": 32, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 16}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt_neox", vocab_size=vocabulary, bos_token_id=0, eos_token_id=0, **config))
    rng = np.random.default_rng(0)
    successors = rng.integers(0, vocabulary, (vocabulary, 4))
    windows = np.zeros((1024, length), dtype=np.int64)
    windows[:, 0] = rng.integers(0, vocabulary, len(windows))
    for k in range(1, length):
        windows[:, k] = successors[windows[:, k - 1], rng.integers(0, 4, len(windows))]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(100):
        batch = torch.from_numpy(windows[32 * step % 992 :][:32])
        loss = torch.nn.functional.cross_entropy(model(input_ids=batch[:, :-1]).logits.flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval(), windows


def test_gptq_costs_a_trained_model_less_than_rounding_to_nearest():
    model, windows = train_briefly()
    used = windows[:64]
    unquantized = float(scoring.score(model, used).nll.mean())
    assert unquantized < 2  # ln 4 = 1.39 at best, ln 48 = 3.87 untrained: something has been learned
    parameters = [{"name": n, "shape": list(p.shape), "use": "vector" if p.ndim == 1 else "linear"} for n, p in model.named_parameters()]
    parameters[0]["use"] = "embedding"
    for bits in (2, 3):
        increase = {}
        for method in ("rtn", "gptq"):
            quantized = copy.deepcopy(model)
            quantize_model(quantized, parameters, Quantizer(method=method, bits=bits), used[:, :-1])
            increase[method] = float(scoring.score(quantized, used).nll.mean()) - unquantized
        assert 0 < increase["gptq"] < increase["rtn"], (bits, increase)
