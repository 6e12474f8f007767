"""Second moments of the inputs of linear layers: which layers, in which groups, over which inputs."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from scalebound.quantization.calibration import layer_groups, second_moments


class Blockless(nn.Module):
    """A causal language model without a list of blocks; its one hidden layer is a Conv1D."""

    def __init__(self):
        super().__init__()
        self.embed, self.hidden, self.head = nn.Embedding(11, 4), Conv1D(6, 4), nn.Linear(6, 11, bias=False)
        self.device, self.base_model = torch.device("cpu"), self

    def forward(self, input_ids):
        return SimpleNamespace(logits=self.head(torch.tanh(self.hidden(self.embed(input_ids)))))


@pytest.fixture
def blockless():
    torch.manual_seed(0)
    model = Blockless()
    # an attribute that refers to the module itself would make it its own submodule
    model._modules.pop("base_model")
    object.__setattr__(model, "base_model", model)
    return model


@pytest.fixture
def tokens():
    return np.random.default_rng(0).integers(0, 11, (7, 5))


def test_groups_are_the_blocks_in_order_and_then_the_rest(saved, load):
    model = load(saved.folder)
    groups = layer_groups(model)
    linear = {n for n, m in model.named_modules() if isinstance(m, nn.Linear | Conv1D)}
    listed = [name for _, layers in groups for name in layers]
    assert len(groups) == 3
    assert len(listed) == len(set(listed))
    assert set(listed) == linear
    for k, (block, layers) in enumerate(groups[:2]):
        assert all(f".{k}." in name for name in layers)
        assert set(map(id, layers.values())) <= set(map(id, block.modules()))
    assert groups[2][0] is None
    assert list(groups[2][1]) == ["lm_head"]


def test_a_model_without_blocks_is_one_group(blockless):
    ((block, layers),) = layer_groups(blockless)
    assert block is None
    assert list(layers) == ["hidden", "head"]


def test_the_blocks_are_the_module_list_with_most_parameters_also_when_others_lie_in_and_beside_it():
    blocks = nn.ModuleList([nn.ModuleDict({"experts": nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])}) for _ in range(2)])
    model = nn.ModuleDict({"adapters": nn.ModuleList([nn.Linear(2, 2)]), "blocks": blocks})
    groups = layer_groups(model)
    assert [block for block, _ in groups] == [blocks[0], blocks[1], None]
    assert [list(layers) for _, layers in groups] == [[f"blocks.{k}.experts.{j}" for j in range(2)] for k in range(2)] + [["adapters.0"]]


def test_moments_are_sums_of_outer_products_of_the_inputs(blockless, tokens):
    _, layers = layer_groups(blockless)[0]
    moments = second_moments(blockless, layers, tokens, 100)
    inputs = blockless.embed.weight.detach()[torch.from_numpy(tokens).flatten()]
    hidden = torch.tanh(blockless.hidden(inputs)).detach()
    for name, x in {"hidden": inputs, "head": hidden}.items():
        expected = torch.stack([torch.outer(v, v) for v in x.double()]).sum(0)
        assert moments[name].dtype == torch.float64
        torch.testing.assert_close(moments[name], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_moments_do_not_depend_on_the_batch(blockless, tokens, size):
    _, layers = layer_groups(blockless)[0]
    whole, parts = (second_moments(blockless, layers, tokens, n) for n in (len(tokens), size))
    for name in layers:
        torch.testing.assert_close(parts[name], whole[name], rtol=1e-5, atol=1e-5)


def test_the_forward_pass_ends_with_the_block_and_sees_the_same_inputs(saved, load, calibration):
    model = load(saved.folder)
    (first, layers), (second, _), _ = layer_groups(model)
    whole = second_moments(model, layers, calibration, 5)
    calls = []
    handle = second.register_forward_pre_hook(lambda *_: calls.append(1))
    moments = second_moments(model, layers, calibration, 5, stop_after=first)
    handle.remove()
    assert not calls
    assert set(moments) == set(whole) == set(layers)
    assert all(torch.equal(moments[name], whole[name]) for name in layers)


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_no_hook_stays_behind_also_after_an_exception(saved_neox, load, calibration):
    model = load(saved_neox.folder)
    (block, layers), *_ = layer_groups(model)
    before = hooks(model)
    second_moments(model, layers, calibration, 5, stop_after=block)
    assert hooks(model) == before
    with pytest.raises(IndexError):
        second_moments(model, layers, calibration + 1000, 5, stop_after=block)
    assert hooks(model) == before


def test_layers_that_no_token_reaches_have_no_moment(blockless, tokens):
    layers = {"hidden": blockless.hidden, "idle": nn.Linear(3, 3)}
    assert set(second_moments(blockless, layers, tokens, 4)) == {"hidden"}
