"""How much the loss feels each row of a matrix, each token of an embedding and each vector: a diagonal Fisher.

Labels are sampled from the model, so that scores of different tokens are uncorrelated and what is accumulated is the
Fisher information itself, not the squared training gradient.
"""

from dataclasses import dataclass, field

import torch
from torch import nn

from scalebound.quantization.calibration import LINEAR


@dataclass
class Sensitivity:
    """Per token. outputs: {module name: E[g^2] float64 [outputs]} of a layer's (or embedding's) output gradient g.

    frequencies: {embedding's module name: share of each token id float64 [ids]}. parameters: {name: E[gradient^2] in the shape
    of the parameter} for vectors.
    """

    outputs: dict = field(default_factory=dict)
    frequencies: dict = field(default_factory=dict)
    vectors: dict = field(default_factory=dict)


def measure(model, tokens, seed):
    """Sensitivity over integer `tokens` [windows, length], one window at a time."""
    found, handles = Sensitivity(), []
    vectors = {name: p for name, p in model.named_parameters() if p.ndim <= 1}
    for name, module in model.named_modules():
        if isinstance(module, (*LINEAR, nn.Embedding)):
            handles.append(module.register_full_backward_hook(_squares(found.outputs, name)))
        if isinstance(module, nn.Embedding):
            handles.append(module.register_forward_pre_hook(_counts(found.frequencies, name)))
    generator = torch.Generator().manual_seed(seed)
    try:
        for window in torch.as_tensor(tokens, dtype=torch.long):
            _backward(model, window[None].to(model.device), generator)
            for name, parameter in vectors.items():
                if parameter.grad is not None:
                    found.vectors[name] = found.vectors.get(name, 0) + parameter.grad.double().square()
            model.zero_grad(set_to_none=True)
    finally:
        for handle in handles:
            handle.remove()
    for kind in (found.outputs, found.frequencies, found.vectors):
        for name in kind:
            kind[name] = kind[name].double() / tokens.size
    return found


def _backward(model, window, generator):
    logits = model(input_ids=window).logits[0].float()
    with torch.no_grad():
        labels = torch.multinomial(logits.softmax(-1).cpu(), 1, generator=generator)[:, 0].to(logits.device)
    torch.nn.functional.cross_entropy(logits, labels, reduction="sum").backward()


def _squares(outputs, name):
    def hook(_, __, gradients):
        squares = gradients[0].detach().reshape(-1, gradients[0].shape[-1]).double().square().sum(0)
        outputs[name] = outputs.get(name, 0) + squares

    return hook


def _counts(frequencies, name):
    def hook(module, arguments):
        if arguments[0].is_floating_point():
            # a position embedding that makes its own ids, of a mask for instance: all positions are equally frequent
            frequencies[name] = frequencies.get(name, 0) + torch.full((module.num_embeddings,), arguments[0].numel() / module.num_embeddings)
            return
        counts = torch.bincount(arguments[0].reshape(-1), minlength=module.num_embeddings).double()
        frequencies[name] = frequencies.get(name, 0) + counts

    return hook
