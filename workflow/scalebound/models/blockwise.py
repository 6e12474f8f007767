"""A model whose decoder blocks lie in its files, or wherever else, and are in memory one at a time, each while it computes.

Weights in files stay mapped in their own type. What is around the blocks, embeddings and the output head, is in memory as float32, and so is a
matrix that several blocks share. A weight that is not in memory is one NaN that is repeated: whatever reads it outside of its block's
call shows, and such a model is kept in memory whole.
"""

import contextlib
import math
from collections import Counter

import torch
from torch import nn

from scalebound.errors import InputError


def decoder_blocks(model):
    """Named members of the module list that holds most parameters; none for a model without one."""
    lists = [(sum(p.numel() for p in m.parameters()), name, m) for name, m in model.named_modules() if isinstance(m, nn.ModuleList)]
    if not lists:
        return []
    _, prefix, blocks = max(lists, key=lambda item: item[0])
    return [(f"{prefix}.{k}", block) for k, block in enumerate(blocks)]


class InMemory:
    """The weights of a model that is in memory as it is."""

    def __init__(self, model):
        self.parameters = dict(model.named_parameters())

    def held(self, block):
        """A context in which the weights of a block are in memory."""
        return contextlib.nullcontext()

    def get(self, key):
        """The tensor of a parameter, to be read."""
        return self.parameters[key].detach()

    @torch.no_grad()
    def put(self, key, values, again):
        """Give a parameter these values, a tensor on the CPU; `again()` makes them once more."""
        self.parameters[key].copy_(values)


class Blockwise(InMemory):
    """The same of a model in float32 that lies elsewhere: `sources` is {parameter name: tensor on the CPU, of any type}.

    What the model's parameters held before plays no part. Afterwards it computes on `device`, as if it were there.
    """

    def __init__(self, model, sources, device):
        super().__init__(model)
        self.device, self._sources = device, {}
        names, moved = {id(p): name for name, p in self.parameters.items()}, _of_one_block(model)
        for name, parameter in self.parameters.items():
            if id(parameter) in moved:
                self._sources[name] = lambda source=sources[name]: source
                parameter.data = _absent(parameter, device)
            else:
                parameter.data = _copy(sources[name], device)
        model.to(device)
        blocks = [block for _, block in decoder_blocks(model)]
        self._names = {block: [names[id(p)] for p in block.parameters() if id(p) in moved] for block in blocks}
        self._held, self._checked, self._altered = Counter(), set(), []
        self._handles = [handle for block in blocks for handle in self._watch(block)]

    @contextlib.contextmanager
    def held(self, block):
        self._load(block)
        try:
            yield
        finally:
            self._release(block)

    def get(self, key):
        parameter = self.parameters[key].detach()
        return _copy(self._sources[key](), self.device) if is_absent(parameter) else parameter

    def put(self, key, values, again):
        if key in self._sources:
            self._sources[key] = again
        if not is_absent(self.parameters[key]):
            super().put(key, values, again)

    def keep(self):
        """Hold all blocks in memory from now on."""
        for handle in self._handles:
            handle.remove()
        for block in self._names:
            self._load(block)

    def check(self, where):
        """Raise InputError when a block's first pass changed a weight: the next pass would compute with what it was."""
        if self._altered:
            raise InputError(where, f"a forward pass changes its weight {self._altered[0]}", "What is stored would be another model than the one in the files")

    def _watch(self, block):
        yield block.register_forward_pre_hook(lambda module, _: self._load(module))
        yield block.register_forward_hook(lambda module, *_: self._release(module), always_call=True)

    def _load(self, block):
        if not self._held[block]:
            for name in self._names.get(block, ()):
                self.parameters[name].data = _copy(self._sources[name](), self.device)
        self._held[block] += 1

    def _release(self, block):
        if block not in self._checked:
            self._altered += [name for name in self._names.get(block, ()) if not torch.equal(self.parameters[name], self._source(name))]
            self._checked.add(block)
        self._held[block] -= 1
        if not self._held[block]:
            for name in self._names.get(block, ()):
                self.parameters[name].data = _absent(self.parameters[name], self.device)

    def _source(self, name):
        return _copy(self._sources[name](), self.device)


def is_absent(tensor):
    """Whether a tensor is the repeated NaN in place of one that lies elsewhere."""
    return tensor.numel() > 0 and tensor.dim() > 0 and not any(tensor.stride())


def _absent(tensor, device):
    return torch.full((), math.nan, device=device).expand(tensor.shape)


def _copy(tensor, device):
    return torch.empty(tensor.shape, dtype=torch.float32, device=device).copy_(tensor.detach())


def are_apart(model, blocks):
    """Whether no parameter of a block is one of another block, or of what is around them."""
    alone = _of_one_block(model)
    return all(id(p) in alone for block in blocks for p in block.parameters() if p.dim())


def _of_one_block(model):
    """ids of the parameters that belong to one decoder block and to nothing else; a single number has no place to be absent in."""
    blocks = [block for _, block in decoder_blocks(model)]
    inside = {id(module) for block in blocks for module in block.modules()}
    users = Counter(id(p) for block in blocks for p in set(block.parameters()))
    outside = {id(p) for module in model.modules() if id(module) not in inside for p in module.parameters(recurse=False)}
    return {id(p) for p in model.parameters() if users[id(p)] == 1 and id(p) not in outside and p.dim() and p.is_floating_point()}
