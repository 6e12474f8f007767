"""Rate-distortion rounding of a whole model: steps by sensitivity, errors fed forward as in GPTQ.

The loss that rounding costs is half the sum of squared errors weighted by the Hessian; steps that make every weight cost the
same are inversely proportional to the square root of its sensitivity: of the layer's output gradient for a row, and of
the input's conditional variance (the Cholesky diagonal) for a column. Embeddings have token frequency for rows and the
energy of their gradient for columns. A matrix that is both embedding and head is rounded once under the sum of both.
"""

import functools
from dataclasses import dataclass

import numpy as np
import torch

from scalebound.quantization.calibration import layer_groups, second_moments
from scalebound.quantization.integers import from_matrix, to_matrix
from scalebound.quantization.rate import sensitivity
from scalebound.quantization.rate.coded_tensor import CodedTensor
from scalebound.quantization.rate.exponents import split_exponents
from scalebound.quantization.rate.rounding import round_matrix
from scalebound.quantization.rate.steps import step_sizes
from scalebound.scoring.scoring import batch_windows

FLOOR = 1e-3  # least sensitivity of a row or column, as a share of the mean


@dataclass(frozen=True)
class Rounded:
    """A coded parameter and the real-valued weights, in units of the model and as a matrix, that were rounded to it."""

    tensor: CodedTensor
    latent: np.ndarray


def theoretical_exponent(exchange, predictions):
    """Exponent of the step, in units of the weight's unit-sensitivity, that balances rate and loss at high resolution.

    A weight of unit sensitivity rounded with step d costs d^2/24 nats and saves exchange/predictions nats for each nat by
    which log d grows: d^2 = 12 exchange / predictions.
    """
    return round(2 * float(np.log2(12 * exchange / predictions)))


class RateRounder:
    """Rounds the parameters of `model` in place, at any number of steps; `parameters` is the architecture's list.

    What does not depend on the step is measured once, on the weights that the model has now: each rounding begins with these.
    """

    def __init__(self, model, parameters, settings, calibration):
        self.model, self.settings, self.calibration = model, settings, calibration
        self.parameters = {p["name"]: p for p in parameters}
        self.weights = dict(model.named_parameters())
        self.size = batch_windows(model, calibration.shape[1])
        self.found = sensitivity.measure(model, calibration[: settings.sensitivity_windows], settings.seed)
        self.centre_head()
        self.original = {name: weight.detach().clone() for name, weight in self.weights.items()}

    def centre_head(self):
        """Take the mean over tokens out of an untied head: no probability changes, and the codes get smaller.

        Whether that holds for this model (no soft-capping and the like) is tried on one window; if not, nothing changes.
        """
        name = f"{self._output_head()}.weight"
        if self.parameters.get(name, {}).get("use") != "linear":
            return False
        weight, window = self.weights[name], torch.as_tensor(self.calibration[:1], dtype=torch.long, device=self.model.device)
        with torch.no_grad():
            before, kept = self.model(input_ids=window).logits.log_softmax(-1), weight.clone()
            weight -= weight.mean(0, keepdim=True)
            same = torch.allclose(before, self.model(input_ids=window).logits.log_softmax(-1), rtol=1e-3, atol=1e-3)
            if not same:
                weight.copy_(kept)
        return same

    def round_all(self, exponent):
        """{parameter name: Rounded} in the architecture's order, at the global step `exponent`."""
        self.exponent, self.done = exponent, {}
        self._restore()
        for name in self._names("tied"):
            self._tied(name, self._head_moment, self._output_head())
        for name in self._names("embedding"):
            self._embedding(name)
        for name in self._names("vector"):
            self._vector(name)
        for block, layers in layer_groups(self.model):
            layers = {name: layer for name, layer in layers.items() if self._open(f"{name}.weight")}
            if layers:
                for name, moment in second_moments(self.model, layers, self.calibration, self.size, stop_after=block).items():
                    self._linear(f"{name}.weight", moment, self.found.outputs.get(name))
        for name in self.parameters:
            if self._open(name):
                self._plain(name)
        return {name: self.done[name] for name in self.parameters}

    @functools.cached_property
    def _head_moment(self):
        """Of the inputs of the head before anything is rounded."""
        return second_moments(self.model, {"head": self.model.get_output_embeddings()}, self.calibration, self.size)["head"]

    @torch.no_grad()
    def _restore(self):
        for name, weight in self.weights.items():
            weight.copy_(self.original[name])

    def _open(self, name):
        return name in self.parameters and name not in self.done

    def _names(self, *uses):
        return [name for name, p in self.parameters.items() if p["use"] in uses]

    def _output_head(self):
        head = self.model.get_output_embeddings()
        return next(name for name, module in self.model.named_modules() if module is head)

    def _module(self, parameter):
        return parameter.rsplit(".", 1)[0]

    def _matrix(self, name):
        return to_matrix(self.weights[name].detach(), self.parameters[name]["use"]).double()

    def _linear(self, name, moment, rows):
        weights = self._matrix(name)
        tokens = self.calibration.size
        rows = torch.ones(len(weights), dtype=torch.float64) if rows is None else rows
        self._gptq(name, weights, moment / tokens, rows)

    def _gptq(self, name, weights, hessian, rows):
        row_sizes, split = _inverse_root(rows), []

        def steps_of(deviations):
            split.append(split_exponents(row_sizes, deviations.cpu().numpy(), self.exponent, self.settings.exponent_stride))
            return torch.from_numpy(_steps(*split[0]).astype(np.float64)).to(weights.device)

        codes, latent, _ = round_matrix(weights, hessian, steps_of, self.settings.damping)
        self._put(name, codes, latent, *split[0])

    def _tied(self, name, moment, head):
        """One Hessian for all rows: the head's inputs and the embedding's gradient energy, each with its mean weight."""
        frequencies, energy = self._embedding_sensitivity(name)
        outputs, inputs = self.found.outputs[head], moment / self.calibration.size
        hessian = outputs.mean() * inputs + frequencies.mean() * torch.diag(energy)
        rows = outputs * inputs.diagonal().sum() + frequencies * energy.sum()
        self._gptq(name, self._matrix(name), hessian, rows / hessian.diagonal().sum())

    def _embedding(self, name):
        frequencies, energy = self._embedding_sensitivity(name)
        self._nearest(name, *split_exponents(_inverse_root(frequencies), _inverse_root(energy), self.exponent, self.settings.exponent_stride))

    def _embedding_sensitivity(self, name):
        """(share of each token, with half a count for those not seen; energy of each column's gradient)."""
        module = self._module(name)
        counts = self.found.frequencies[module] * self.calibration.size + 0.5
        shares = counts / self.calibration.size
        return shares, self.found.outputs[module] / max(float(self.found.frequencies[module].sum()), 1e-30)

    def _vector(self, name):
        """One step for the whole vector; gains of norms are coded as differences from one."""
        weights = self._matrix(name)
        fisher = self.found.vectors.get(name)
        size = _inverse_root(fisher.reshape(-1).mean()[None]) if fisher is not None else weights.abs().mean()[None].numpy() + 1e-3
        offset = int(float((weights - 1).abs().mean()) < float(weights.abs().mean()))
        base, _, _ = split_exponents(size, np.ones(1), self.exponent, 0)
        zeros = (np.zeros(n, dtype=np.int16) for n in weights.shape)
        self._nearest(name, base, *zeros, offset=offset)

    def _plain(self, name):
        """What no layer covers: one step, a quarter of the weights' standard deviation."""
        weights = self._matrix(name)
        size = weights.std().clamp(min=1e-6)[None].numpy() / 4
        base, _, _ = split_exponents(size, np.ones(1), 0, 0)
        self._nearest(name, base, *(np.zeros(n, dtype=np.int16) for n in weights.shape))

    def _nearest(self, name, base, rows, columns, offset=0):
        latent = self._matrix(name) - offset
        self._put(name, torch.round(latent / torch.from_numpy(_steps(base, rows, columns)).to(latent.device)), latent, base, rows, columns, offset)

    def _put(self, name, codes, latent, base, rows, columns, offset=0):
        tensor = CodedTensor(codes.cpu().numpy().astype(np.int32), base, rows, columns, offset)
        self.done[name] = Rounded(tensor, latent.cpu().numpy().astype(np.float32))
        assign(self.weights[name], tensor, self.parameters[name])


def assign(weight, tensor, parameter):
    """Give the torch parameter `weight` the values that `tensor` stands for."""
    rebuilt = np.ascontiguousarray(from_matrix(tensor.dequantize(), parameter["shape"], parameter["use"]))
    with torch.no_grad():
        weight.copy_(torch.from_numpy(rebuilt))


def _steps(base, rows, columns):
    return step_sizes(base + rows.astype(np.int64)[:, None] + columns.astype(np.int64)[None])


def _inverse_root(sensitivities):
    values = sensitivities.double().cpu().numpy()
    return 1 / np.sqrt(np.maximum(values, FLOOR * values.mean() + 1e-30))
