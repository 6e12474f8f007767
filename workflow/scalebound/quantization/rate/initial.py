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

from scalebound.quantization.calibration import moments_by_block, second_moments
from scalebound.quantization.integers import from_matrix, to_matrix
from scalebound.quantization.rate import sensitivity
from scalebound.quantization.rate.coded_tensor import CodedTensor
from scalebound.quantization.rate.exponents import split_exponents
from scalebound.quantization.rate.rounding import Order
from scalebound.quantization.rate.steps import step_sizes
from scalebound.scoring.scoring import batch_windows

FLOOR = 1e-3  # least sensitivity of a row or column, as a share of the mean


@dataclass(frozen=True)
class Rounded:
    """A coded parameter, the real-valued weights, in units of the model and as a matrix, that were rounded to it, and the share of the
    entries whose errors were fed forward, as GPTQ does."""

    tensor: CodedTensor
    latent: np.ndarray
    share: float = 0.0

    @property
    def entries(self):
        return int(self.tensor.codes.size)


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
        head = self.model.get_output_embeddings().weight
        name = next(name for name, weight in self.weights.items() if weight is head)
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
            self._tied(name, self._head_moment)
        for name in self._names("embedding"):
            self._embedding(name)
        for name in self._names("vector"):
            self._vector(name)
        for moments, parts in moments_by_block(self.model, self._open, self.calibration, self.size):
            for name, moment in moments.items():
                self._linear(f"{name}.weight", moment)
            for name, found in parts.items():
                self._parts(name, {part: moment / self.calibration.size for part, moment in found.items() if moment.any()})
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

    def _matrix(self, name):
        return to_matrix(self.weights[name].detach(), self.parameters[name]["use"]).double()

    def _linear(self, name, moment):
        weights, hessian = self._matrix(name), moment / self.calibration.size
        if name in self.found.outputs:
            rows = self.found.outputs[name]
        elif name in self.found.gradients:
            rows = to_matrix(self.found.gradients[name], self.parameters[name]["use"]).sum(1) / hessian.diagonal().sum()
        else:
            rows = torch.ones(len(weights), dtype=torch.float64)  # on the CPU, where sizes of steps are made
        self._gptq(name, weights, hessian, rows)

    def _gptq(self, name, weights, hessian, rows):
        order = Order.of(hessian, self.settings.damping)
        split = self._split(_inverse_root(rows), order.deviations().cpu().numpy())
        codes, latent = order.round(weights, _torch_steps(weights.device, *split))
        self._put(name, codes, latent, *split, share=1.0)

    def _split(self, row_sizes, column_sizes):
        return split_exponents(row_sizes, column_sizes, self.exponent, self.settings.exponent_stride)

    def _parts(self, name, hessians):
        """A parameter that consists of matrices with inputs of their own, {products.Part: Hessian}; they share rows and columns of steps.

        The sizes of steps that suit the parts are made a product of one for each row and one for each column of the parameter by their
        mean logarithms. A row's sensitivity is its squared gradient over the energy of its inputs.
        """
        if not hessians or name not in self.found.gradients:
            self._plain(name)
            return
        weights, gradients = self._matrix(name), self.found.gradients[name].contiguous()
        orders = {part: Order.of(hessian, self.settings.damping) for part, hessian in hessians.items()}
        sizes = torch.full_like(weights, torch.nan)
        for part, order in orders.items():
            rows = part.of(gradients).sum(1) / hessians[part].diagonal().sum()
            part.of(sizes).copy_(torch.from_numpy(np.log(_inverse_root(rows))).to(sizes.device)[:, None] + order.deviations().log()[None])
        row_sizes, column_sizes = _means(sizes.cpu().numpy())
        split = self._split(np.exp(row_sizes), np.exp(column_sizes))
        steps, latent, done = _torch_steps(weights.device, *split), weights.clone(), torch.zeros_like(weights, dtype=torch.bool)
        codes = torch.round(weights / steps)
        for part, order in orders.items():
            if not part.of(done).any():
                found = order.round(part.of(weights), part.of(steps))
                for whole, values in zip((codes, latent), found):
                    part.of(whole).copy_(values)
                part.of(done).fill_(True)
        self._put(name, codes, latent, *split, share=float(done.double().mean()))

    def _tied(self, name, moment):
        """One Hessian for all rows: the head's inputs and the embedding's gradient energy, each with its mean weight."""
        frequencies, energy = self._embedding_sensitivity(name)
        outputs, inputs = self.found.outputs[name], moment / self.calibration.size
        hessian = outputs.mean() * inputs + frequencies.mean() * torch.diag(energy)
        rows = outputs * inputs.diagonal().sum() + frequencies * energy.sum()
        self._gptq(name, self._matrix(name), hessian, rows / hessian.diagonal().sum())

    def _embedding(self, name):
        if name not in self.found.frequencies or name not in self.found.energy:
            self._plain(name)
            return
        frequencies, energy = self._embedding_sensitivity(name)
        self._nearest(name, *self._split(_inverse_root(frequencies), _inverse_root(energy)))

    def _embedding_sensitivity(self, name):
        """(share of each token, with half a count for those not seen; energy of each column's gradient)."""
        counts = self.found.frequencies[name] * self.calibration.size + 0.5
        shares = counts / self.calibration.size
        return shares, self.found.energy[name] / max(float(self.found.frequencies[name].sum()), 1e-30)

    def _vector(self, name):
        """One step for the whole vector; gains of norms are coded as differences from one."""
        weights = self._matrix(name)
        offset = int(float((weights - 1).abs().mean()) < float(weights.abs().mean()))
        size = weights.abs().mean()[None].cpu().numpy() + 1e-3
        self._one_step(name, self._mean_size(name, size), self.exponent, offset)

    def _plain(self, name):
        """What nothing is multiplied with: one step by its gradient; without one, a quarter of the weights' standard deviation."""
        if name in self.found.gradients:
            self._one_step(name, self._mean_size(name, None), self.exponent)
        else:
            self._one_step(name, self._matrix(name).std().clamp(min=1e-6)[None].cpu().numpy() / 4, 0)

    def _mean_size(self, name, otherwise):
        fisher = self.found.gradients.get(name)
        return otherwise if fisher is None else _inverse_root(fisher.reshape(-1).mean()[None])

    def _one_step(self, name, size, exponent, offset=0):
        base, _, _ = split_exponents(size, np.ones(1), exponent, 0)
        self._nearest(name, base, *(np.zeros(n, dtype=np.int16) for n in self._matrix(name).shape), offset=offset)

    def _nearest(self, name, base, rows, columns, offset=0):
        latent = self._matrix(name) - offset
        self._put(name, torch.round(latent / torch.from_numpy(_steps(base, rows, columns)).to(latent.device)), latent, base, rows, columns, offset)

    def _put(self, name, codes, latent, base, rows, columns, offset=0, share=0.0):
        tensor = CodedTensor(codes.cpu().numpy().astype(np.int32), base, rows, columns, offset)
        self.done[name] = Rounded(tensor, latent.cpu().numpy().astype(np.float32), share)
        assign(self.weights[name], tensor, self.parameters[name])


def assign(weight, tensor, parameter):
    """Give the torch parameter `weight` the values that `tensor` stands for."""
    rebuilt = np.ascontiguousarray(from_matrix(tensor.dequantize(), parameter["shape"], parameter["use"]))
    with torch.no_grad():
        weight.copy_(torch.from_numpy(rebuilt))


def _steps(base, rows, columns):
    return step_sizes(base + rows.astype(np.int64)[:, None] + columns.astype(np.int64)[None])


def _torch_steps(device, base, rows, columns):
    return torch.from_numpy(_steps(base, rows, columns).astype(np.float64)).to(device)


def _means(table):
    """(by row, by column): `table` [rows, columns] is nearly their sum; what is NaN counts nowhere, and a row of it is like the mean of the others."""
    table = np.ma.masked_invalid(table)
    rows = table.mean(1)
    rows = rows.filled(rows.mean())
    return rows, (table - rows[:, None]).mean(0).filled(0.0)


def _inverse_root(sensitivities):
    values = sensitivities.double().cpu().numpy()
    return 1 / np.sqrt(np.maximum(values, FLOOR * values.mean() + 1e-30))
