"""Second moments of the inputs of linear layers, and of other parameters that are matrices, for any causal language model of transformers.

The decoder blocks are visited in order, so that a layer sees inputs from blocks that are already quantized. Each block is called on what the
block before put out, where the model allows it (block_by_block.py); otherwise each forward pass begins at the start and stops after the block in question.
Nothing about a block's signature has to be known.
"""

import contextlib

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from scalebound.models.blockwise import InMemory, decoder_blocks
from scalebound.quantization.block_by_block import batches_of, replay
from scalebound.quantization.products import Products

LINEAR = (nn.Linear, Conv1D)


class _BlockDone(Exception):
    pass


def layer_groups(model):
    """[(last module of the group or None, {module name: linear layer})]: one group per decoder block, then the rest."""
    blocks = decoder_blocks(model)
    groups, taken = [], set()
    for prefix, block in blocks:
        layers = {f"{prefix}.{name}": layer for name, layer in block.named_modules() if isinstance(layer, LINEAR)}
        taken |= set(layers)
        groups.append((block, layers))
    rest = {name: layer for name, layer in model.named_modules() if isinstance(layer, LINEAR) and name not in taken}
    return [*groups, (None, rest)]


def moments_by_block(model, is_open, tokens, windows_per_batch, weights=None):
    """Yield ({module name: moment of a linear layer}, {parameter name: {products.Part: moment}}) of what is open, a block at a time, then of the rest.

    The second lists every matrix of the block that belongs to no linear layer, with nothing where no product with it was seen.
    `is_open(parameter name)` is asked, and the moments are taken, when the next pair is asked for: they see what was rounded by then. While those
    of a block are used, its weights are held in memory (`weights`, a blockwise.InMemory).
    """
    weights = weights or InMemory(model)
    again = replay(model, [block for _, block in decoder_blocks(model)], tokens, windows_per_batch)
    names = {id(p): name for name, p in model.named_parameters()}
    of_layers = {id(module.weight) for module in model.modules() if isinstance(module, LINEAR)}
    for block, layers in layer_groups(model):
        layers = {name: layer for name, layer in layers.items() if is_open(f"{name}.weight")}
        members = {names[id(p)]: p for p in (block or model).parameters() if p.ndim >= 2 and id(p) not in of_layers}
        others = {name: p for name, p in members.items() if is_open(name)}
        with weights.held(block):
            if layers or others:
                with Products(others) as products:
                    moments = second_moments(model, layers, tokens, windows_per_batch, block, again)
                yield moments, {name: products.moments.get(name, {}) for name in others}
            if again and block:
                again.advance(block)


@torch.no_grad()
def second_moments(model, layers, tokens, windows_per_batch, stop_after=None, again=None):
    """{name: sum of x x^T} in float64 [in, in] over all inputs of each layer, for integer `tokens` [windows, length].

    A pass ends after the block `stop_after`. `again`: a block_by_block.Replay that calls this block alone.
    """
    moments, handles = {}, []
    for name, layer in layers.items():
        handles.append(layer.register_forward_pre_hook(_accumulate(moments, name)))
    if stop_after is not None and not again:
        handles.append(stop_after.register_forward_hook(_stop))
    try:
        if again and stop_after is not None:
            again.run(stop_after)
        else:
            _run_from_start(model, tokens, windows_per_batch, stop_after)
    finally:
        for handle in handles:
            handle.remove()
    return moments


def _accumulate(moments, name):
    def hook(_, arguments):
        x = arguments[0].detach().reshape(-1, arguments[0].shape[-1]).float()
        product = x.T @ x
        moments[name] = moments[name].add_(product) if name in moments else product.double()

    return hook


def _run_from_start(model, tokens, windows_per_batch, stop_after):
    for batch in batches_of(model, tokens, windows_per_batch):
        with contextlib.suppress(_BlockDone):
            model.base_model(input_ids=batch) if stop_after is not None else model(input_ids=batch)


def _stop(*_):
    raise _BlockDone
