"""Quantization of every parameter of a causal language model, in place.

Order: embeddings and 1-D parameters first, so that what comes after is calibrated on them; then the linear layers block
by block; then those outside the blocks, the output head among them. A matrix that is both embedding and head is rounded
against the head's inputs in the unquantized model. What no linear layer covers is rounded to nearest.
"""

from dataclasses import dataclass

import numpy as np
import torch

from scalebound.progress import progress
from scalebound.quantization import gptq, rtn
from scalebound.quantization.calibration import layer_groups, second_moments
from scalebound.quantization.integers import check, from_matrix, to_matrix
from scalebound.scoring import batch_windows


@dataclass(frozen=True)
class Quantized:
    """One quantized parameter: integers, how they were found, and the squared error of the weights they stand for."""

    tensor: object
    method: str
    damping: float | None
    escalated: bool
    squared_error: float


def quantize_model(model, parameters, settings, calibration, name="model"):
    """{parameter name: Quantized} for every parameter; the model then holds the dequantized weights.

    `parameters` is the architecture's list, `settings` a config.Quantizer, `calibration` integer windows
    [windows, length] that GPTQ looks at (unused by round-to-nearest).
    """
    work = _Work(model, {p["name"]: p for p in parameters}, settings)
    with progress(len(parameters), "tensors", f"{settings.method} {settings.bits} bits {name} on {model.device.type}") as bar:
        work.bar = bar
        if settings.method == "gptq":
            _gptq(work, calibration)
        for key in work.parameters:
            if key not in work.done:
                work.round_to_nearest(key)
    return {key: work.done[key] for key in work.parameters}


def _gptq(work, calibration):
    size = batch_windows(work.model, calibration.shape[1])
    tied = {k for k, p in work.parameters.items() if p["use"] == "tied"}
    if tied:
        head = {"head": work.model.get_output_embeddings()}
        moments = second_moments(work.model, head, calibration, size)
        for key in tied:
            work.gptq(key, moments["head"])
    for key, parameter in work.parameters.items():
        if parameter["use"] in ("embedding", "vector", "other"):
            work.round_to_nearest(key)
    for block, layers in layer_groups(work.model):
        open_layers = {n: layer for n, layer in layers.items() if f"{n}.weight" in work.parameters and f"{n}.weight" not in work.done}
        if not open_layers:
            continue
        moments = second_moments(work.model, open_layers, calibration, size, stop_after=block)
        for layer_name in open_layers:
            # a layer that no calibration token reached has no second moment: rounded to nearest by the caller
            if layer_name in moments:
                work.gptq(f"{layer_name}.weight", moments[layer_name])


class _Work:
    """The model under quantization and what has been done to it."""

    def __init__(self, model, parameters, settings):
        self.model, self.parameters, self.settings = model, parameters, settings
        self.weights = dict(model.named_parameters())
        self.done, self.bar = {}, None

    def round_to_nearest(self, key):
        s, use = self.settings, self.parameters[key]["use"]
        bits, group = (s.vector_bits, s.vector_group) if use == "vector" else (s.bits, s.group)
        tensor = rtn.quantize(to_matrix(self.weights[key].detach(), use), bits, group)
        self._put(key, tensor, "rtn", None, False)

    def gptq(self, key, moment):
        s = self.settings
        result = gptq.quantize(to_matrix(self.weights[key].detach(), self.parameters[key]["use"]), moment, s.bits, s.group, s.damping)
        self._put(key, result.tensor, "gptq", result.damping, result.escalated)

    def _put(self, key, tensor, method, damping, escalated):
        check(tensor, key)
        parameter, weight = self.parameters[key], self.weights[key]
        rebuilt = torch.from_numpy(np.ascontiguousarray(from_matrix(tensor.dequantize(), parameter["shape"], parameter["use"])))
        error = float((weight.detach().cpu().double() - rebuilt.double()).square().sum())
        with torch.no_grad():
            weight.copy_(rebuilt)
        self.done[key] = Quantized(tensor, method, damping, escalated, error)
        self.bar.update(1)
