"""Blocks that are called on their own see what they see in the model, and models that do not allow it are noticed."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from scalebound.models.blockwise import decoder_blocks
from scalebound.quantization import calibration
from scalebound.quantization.block_by_block import replay

TOKENS = np.random.default_rng(0).integers(0, 11, (5, 4))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.calls = nn.Linear(6, 6), 0

    def forward(self, x, scale=1.0, mask=None):
        self.calls += 1
        return (x + scale * torch.tanh(self.layer(x)), None)


class InPlace(Block):
    def forward(self, x, scale=1.0, mask=None):
        x += torch.tanh(self.layer(x))
        return x


class Model(nn.Module):
    """`told` says how the blocks of a pass are called: what they get beside the state."""

    device = torch.device("cpu")

    def __init__(self, kind=Block, told=lambda model, k, x, first: {}):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.blocks, self.told = nn.Embedding(11, 6), nn.ModuleList(kind() for _ in range(3)), told

    @property
    def base_model(self):
        return self

    def forward(self, input_ids):
        x = first = self.embed(input_ids)
        for k, block in enumerate(self.blocks):
            found = block(x, **self.told(self, k, x, first))
            x = found[0] if isinstance(found, tuple) else found
        return SimpleNamespace(logits=x)


def replayed(model):
    return replay(model, [block for _, block in decoder_blocks(model)], TOKENS, 2)


class Shared(Model):
    def __init__(self):
        super().__init__()
        self.blocks[2].layer.weight = self.blocks[0].layer.weight


class Skipping(Model):
    def forward(self, input_ids):
        return SimpleNamespace(logits=self.blocks[1](2 * self.blocks[0](self.embed(input_ids))[0])[0])


def by_attribute(model, k, x, first):
    """The first block's state by way of the module: a value that no argument carries."""
    if k == 0:
        model.kept = x.detach()
    model.blocks[k].register_buffer("seen", model.kept, persistent=False)
    return {}


class ReadsAttribute(Block):
    def forward(self, x, scale=1.0, mask=None):
        return (x + torch.tanh(self.layer(x)) + self.seen.mean(),)


FREE = {
    "nothing else": Model(),
    "a number and a mask": Model(told=lambda model, k, x, first: {"scale": 0.5 * k, "mask": torch.ones(4, 4)}),
    "the embeddings": Model(told=lambda model, k, x, first: {"scale": first.detach()}),
}
BOUND = {
    "the state once more": Model(told=lambda model, k, x, first: {"scale": x.mean()}),
    "an object": Model(told=lambda model, k, x, first: {"mask": object()}),
    "a state that is changed in place": Model(InPlace),
    "a parameter of two blocks": Shared(),
    "something between the blocks": Skipping(),
    "a value in a module": Model(ReadsAttribute, by_attribute),
}


@pytest.mark.parametrize("name", FREE)
def test_blocks_that_get_nothing_of_each_other_but_the_state_are_called_alone(name):
    assert replayed(FREE[name]) is not None


@pytest.mark.parametrize("name", BOUND)
def test_blocks_that_do_are_not(name):
    assert replayed(BOUND[name]) is None


def test_a_model_of_one_block_has_nothing_to_gain():
    model = Model()
    assert replay(model, [model.blocks[0]], TOKENS, 2) is None


def moments(model):
    """Moments of all layers; after each block, its weights are halved."""
    found = {}
    for of_layers, _ in calibration.moments_by_block(model, lambda name: True, TOKENS, 2):
        found |= of_layers
        with torch.no_grad():
            for name in of_layers:
                model.get_submodule(name).weight.mul_(0.5)
    return found


@pytest.mark.parametrize("name", FREE)
def test_moments_are_bit_for_bit_those_of_passes_from_the_start_and_see_what_was_rounded(name, monkeypatch):
    told = FREE[name].told
    alone = moments(Model(told=told))
    monkeypatch.setattr(calibration, "replay", lambda *_: None)
    from_start = moments(Model(told=told))
    assert set(alone) == set(from_start) == {f"blocks.{k}.layer" for k in range(3)}
    assert all(torch.equal(alone[key], from_start[key]) for key in alone)


def test_each_block_is_called_a_number_of_times_that_does_not_grow_with_their_number():
    model = Model()
    moments(model)
    # six times to see whether it may be; of three batches each, the pass that records, that of the moments, that of the outputs, and that of the rest
    assert [block.calls for block in model.blocks] == [18, 18, 15]
