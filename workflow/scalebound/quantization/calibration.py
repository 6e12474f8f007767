"""Second moments of the inputs of linear layers, for any causal language model of transformers.

The decoder blocks are visited in order; each forward pass stops after the block in question, so that a layer sees
inputs from blocks that are already quantized and nothing about a block's signature has to be known.
"""

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

LINEAR = (nn.Linear, Conv1D)


class _BlockDone(Exception):
    pass


def layer_groups(model):
    """[(last module of the group or None, {module name: linear layer})]: one group per decoder block, then the rest."""
    blocks = _decoder_blocks(model)
    groups, taken = [], set()
    for prefix, block in blocks:
        layers = {f"{prefix}.{name}": layer for name, layer in block.named_modules() if isinstance(layer, LINEAR)}
        taken |= set(layers)
        groups.append((block, layers))
    rest = {name: layer for name, layer in model.named_modules() if isinstance(layer, LINEAR) and name not in taken}
    return [*groups, (None, rest)]


@torch.no_grad()
def second_moments(model, layers, tokens, windows_per_batch, stop_after=None):
    """{name: sum of x x^T} in float64 [in, in] over all inputs of each layer, for integer `tokens` [windows, length]."""
    moments, handles = {}, []
    for name, layer in layers.items():
        handles.append(layer.register_forward_pre_hook(_accumulate(moments, name)))
    if stop_after is not None:
        handles.append(stop_after.register_forward_hook(_stop))
    try:
        for start in range(0, len(tokens), windows_per_batch):
            batch = torch.as_tensor(tokens[start : start + windows_per_batch], dtype=torch.long, device=model.device)
            try:
                model.base_model(input_ids=batch) if stop_after is not None else model(input_ids=batch)
            except _BlockDone:
                continue
    finally:
        for handle in handles:
            handle.remove()
    return moments


def _accumulate(moments, name):
    def hook(_, arguments):
        x = arguments[0].detach().reshape(-1, arguments[0].shape[-1]).float()
        product = (x.T @ x).double()
        moments[name] = moments[name] + product if name in moments else product

    return hook


def _stop(*_):
    raise _BlockDone


def _decoder_blocks(model):
    """Named members of the module list that holds most parameters; none for a model without one."""
    lists = [(sum(p.numel() for p in m.parameters()), name, m) for name, m in model.named_modules() if isinstance(m, nn.ModuleList)]
    if not lists:
        return []
    _, prefix, blocks = max(lists, key=lambda item: item[0])
    return [(f"{prefix}.{k}", block) for k, block in enumerate(blocks)]
