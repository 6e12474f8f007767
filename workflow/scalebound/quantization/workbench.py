"""A model's weights under quantization: each parameter is rounded once, in place, and what was done to it is kept."""

import functools
from dataclasses import dataclass

import numpy as np
import torch

from scalebound.errors import InputError
from scalebound.quantization import rtn
from scalebound.quantization.integers import IntegerTensor, check, from_matrix, to_matrix
from scalebound.quantization.methods import LAYER_USES, METHODS, Rounded, by_parts

ENTRIES = 2**22  # whose errors are in memory at once, in float64


@dataclass(frozen=True)
class Quantized:
    """One quantized parameter: integers, how they were found, the squared error of the weights they stand for, and the share of
    the entries that were rounded by GPTQ."""

    tensor: IntegerTensor
    method: str
    damping: float | None
    escalated: bool
    squared_error: float
    share: float

    @property
    def entries(self):
        return int(self.tensor.codes.size)


class Workbench:
    """Rounds the tensors of `weights` (blockwise.InMemory) by a config.GridQuantizer; `parameters` is the architecture's list.

    `head` is the name of the output head's matrix.
    """

    def __init__(self, weights, parameters, settings, head, bar):
        self.weights, self.settings, self.head, self.bar = weights, settings, head, bar
        self.method = METHODS[settings.method]
        self.parameters = {p["name"]: p for p in parameters}
        odd = sorted(set(weights.parameters) ^ set(self.parameters))
        if odd:
            # for instance a head of its own under a configuration that ties it to the embedding
            raise InputError(odd[0], "not a parameter of both the weights and the architecture", "The weights are not those of the model's config.json")
        self._done = {}

    def is_open(self, key):
        """Whether `key` is a parameter that has not been rounded yet."""
        return key in self.parameters and key not in self._done

    def names(self, *uses):
        """Parameters of the given uses, in the architecture's order."""
        return [name for name, p in self.parameters.items() if p["use"] in uses]

    def round_to_nearest(self, key):
        s, use = self.settings, self.parameters[key]["use"]
        bits, group = (s.vector_bits, s.vector_group) if use == "vector" else (s.bits, s.group)
        self._put(key, Rounded(rtn.quantize(self._matrix(key), bits, group), "rtn"))

    def round_layer(self, key, moment=None):
        """Round the matrix of a linear layer by the method; `moment` is the second moment of the layer's inputs, where the method looks at it."""
        self._put(key, self.method.round(self._matrix(key), moment, key == self.head, self.settings))

    def round_parts(self, key, moments):
        """Round a matrix of no linear layer, fused experts for instance; `moments` is {products.Part: second moment of its inputs}."""
        self._put(key, by_parts(self.weights.get(key), self.parameters[key]["use"], moments, self.settings))

    def finish(self):
        """Round what is left; {parameter name: Quantized} in the architecture's order."""
        for key in self.parameters:
            if self.is_open(key):
                by_method = not self.method.calibrated and self.parameters[key]["use"] in LAYER_USES
                (self.round_layer if by_method else self.round_to_nearest)(key)
        return {key: self._done[key] for key in self.parameters}

    def _matrix(self, key):
        return to_matrix(self.weights.get(key), self.parameters[key]["use"])

    def _put(self, key, rounded):
        tensor = rounded.tensor
        check(tensor, key)
        again = functools.partial(_rebuild, tensor, self.parameters[key])
        rebuilt = again()
        error = _squared_distance(self.weights.get(key), rebuilt)
        self.weights.put(key, rebuilt, again)
        self._done[key] = Quantized(tensor, rounded.method, rounded.damping, rounded.escalated, error, rounded.share)
        self.bar.update(1)


def _rebuild(tensor, parameter):
    """What an IntegerTensor stands for, as a torch tensor of the parameter's own shape."""
    return torch.from_numpy(np.ascontiguousarray(from_matrix(tensor.dequantize(), parameter["shape"], parameter["use"])))


def _squared_distance(weight, rebuilt):
    pairs = zip(weight.reshape(-1).split(ENTRIES), rebuilt.reshape(-1).split(ENTRIES))
    return sum(float((one.cpu().double() - other.double()).square().sum()) for one, other in pairs)
