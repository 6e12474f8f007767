"""How much the loss feels each row of a matrix, each token of an embedding and each vector: a diagonal Fisher.

Labels are sampled from the model, so that scores of different tokens are uncorrelated and what is accumulated is the
Fisher information itself, not the squared training gradient.
"""

from dataclasses import dataclass, field

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from scalebound.errors import InputError, first_line
from scalebound.quantization.calibration import LINEAR


@dataclass
class Sensitivity:
    """Per token, by parameter name; what no gradient reached is not listed.

    outputs: E[g^2] float64 [outputs] of the output gradient g of the linear layer that the parameter is the weight of. energy: the
    same [columns] of an embedding. frequencies: share of each token id float64 [ids] in what is looked up. gradients: E[gradient^2]
    in the shape of the parameter, for those of neither.
    """

    outputs: dict = field(default_factory=dict)
    energy: dict = field(default_factory=dict)
    frequencies: dict = field(default_factory=dict)
    gradients: dict = field(default_factory=dict)


def measure(model, tokens, seed):
    """Sensitivity over integer `tokens` [windows, length], one window at a time."""
    names = {id(p): name for name, p in model.named_parameters()}
    found = Sensitivity()
    kinds = ((LINEAR, found.outputs), (nn.Embedding, found.energy))
    handles = [
        module.register_forward_hook(_squares(store, names[id(module.weight)]))
        for module in model.modules()
        for kind, store in kinds
        if isinstance(module, kind) and id(module.weight) in names
    ]
    generator, lookups = torch.Generator().manual_seed(seed), _Lookups(model, names, found.frequencies)
    try:
        for window in torch.as_tensor(tokens, dtype=torch.long):
            _backward(model, window[None].to(model.device), generator, lookups)
            for name, parameter in model.named_parameters():
                if parameter.grad is not None and name not in found.outputs and name not in found.energy:
                    found.gradients[name] = found.gradients.get(name, 0) + parameter.grad.double().square()
            model.zero_grad(set_to_none=True)
    finally:
        for handle in handles:
            handle.remove()
    for kind in (found.outputs, found.energy, found.frequencies, found.gradients):
        for name in kind:
            kind[name] = kind[name].double() / tokens.size
    return found


def _backward(model, window, generator, lookups):
    with lookups:
        logits = model(input_ids=window).logits[0].float()
    with torch.no_grad():
        labels = torch.multinomial(logits.softmax(-1).cpu(), 1, generator=generator)[:, 0].to(logits.device)
    loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
    try:
        loss.backward()
    except Exception as error:  # whatever a model of transformers raises that computes forwards and not back: Reformer out of training
        found = f"its gradient cannot be computed: {first_line(error)}"
        raise InputError("model", found, "Take a quantizer of another method than `coded` for it") from None


def _squares(store, name):
    """A forward hook that adds up the squared gradients of a module's output.

    It hangs on the output itself: a backward hook of the module would turn it into a view that the model may not write into.
    """

    def add(gradient):
        store[name] = store.get(name, 0) + gradient.detach().reshape(-1, gradient.shape[-1]).double().square().sum(0)

    def hook(_, __, output):
        # a router may be a linear layer that returns more than its output
        if isinstance(output, torch.Tensor) and output.requires_grad:
            output.register_hook(add)

    return hook


class _Lookups(TorchDispatchMode):
    """Counts the ids that are looked up in each embedding, however its module is called: positions are often made inside of it."""

    def __init__(self, model, names, counts):
        super().__init__()
        weights = [module.weight for module in model.modules() if isinstance(module, nn.Embedding)]
        self._names = {weight.data_ptr(): names[id(weight)] for weight in weights if id(weight) in names}
        self._counts = counts

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten.embedding.default and (name := self._names.get(args[0].data_ptr())):
            self._counts[name] = self._counts.get(name, 0) + torch.bincount(args[1].reshape(-1), minlength=len(args[0])).double()
        return function(*args, **(kwargs or {}))
