"""Straight-through fine-tuning of codes and steps against loss plus the price of the code.

Each parameter keeps real-valued weights; the network runs on their rounded values, and the gradient passes the rounding
unchanged. The price of a code is that of a geometric law of magnitudes whose mean is the product of a row's and a column's,
which is what the adaptive coder (wavefront.py) comes to know: log2(1 + 1/mean) bits for each unit of magnitude and one
for the sign. On one number of threads the same settings give the same codes.
"""

import contextlib
import math
from dataclasses import astuple, dataclass

import numpy as np
import torch

from scalebound.errors import InputError
from scalebound.models.unfinished import NOWHERE
from scalebound.progress import progress
from scalebound.quantization.integers import from_matrix
from scalebound.quantization.rate.coded_tensor import CodedTensor
from scalebound.quantization.rate.steps import HIGHEST, LOWEST, PER_OCTAVE, step_sizes

LEAST_MEAN = 0.01  # of magnitudes, in the price: no entry costs more than about seven bits a unit
_OCTAVE = math.log(2) / PER_OCTAVE


class Group:
    """Parameters of one matrix shape and use, stacked: latent weights [k, rows, columns] and the k exponents of their steps."""

    def __init__(self, names, use, rounded, device="cpu"):
        self.names, self.use = names, use
        tensors = [r.tensor for r in rounded]
        self.latent = torch.nn.Parameter(torch.from_numpy(np.stack([r.latent for r in rounded])).to(device))
        self.base = torch.nn.Parameter(torch.tensor([float(t.base) for t in tensors], device=device)[:, None, None])
        self.rows, self.columns = (np.stack([getattr(t, part) for t in tensors]).astype(np.int64) for part in ("row_exponents", "column_exponents"))
        self.offsets = torch.tensor([float(t.offset) for t in tensors], device=device)[:, None, None]
        self._exponents = None

    @torch.no_grad()
    def quantize(self):
        """float32 [k, rows, columns], a leaf that collects the network's gradient."""
        found = torch.round(self.base).clamp(LOWEST / 2, HIGHEST / 2).to(torch.int64).cpu().numpy()
        if self._exponents is None or (found != self._exponents).any():
            self._exponents = found
            self.steps = torch.from_numpy(step_sizes(found + self.rows[:, :, None] + self.columns[:, None])).to(self.latent.device)
        self.scaled = self.latent / self.steps
        self.codes = torch.round(self.scaled)
        self.weights = torch.addcmul(self.offsets, self.codes, self.steps).requires_grad_()
        return self.weights

    @torch.no_grad()
    def learn_price(self):
        """Bits that one more unit of magnitude costs each entry, from the codes as they are."""
        magnitudes = self.codes.abs()
        whole = magnitudes.mean((1, 2), keepdim=True).clamp(min=LEAST_MEAN)
        if self.use == "vector":
            expected = whole
        else:
            counts = magnitudes.shape[1:]
            # the same shrinkage as the coder's
            by_row, by_column = ((magnitudes.sum(d, keepdim=True) + 1) / (counts[d - 1] * whole + 1) for d in (2, 1))
            expected = whole * by_row * by_column
        self.price = torch.log2(1 + 1 / expected.clamp(min=LEAST_MEAN))

    @torch.no_grad()
    def collect(self, nats_per_bit):
        """Turn the gradient of the weights into those of latent weights and exponents, the price added."""
        # nothing for what no pass reaches, such as the vision part of a model that reads text
        gradient = torch.zeros_like(self.weights) if self.weights.grad is None else self.weights.grad
        slope = torch.sign(self.scaled) * (self.price + (self.scaled.abs() < 1)) * nats_per_bit
        self.latent.grad = torch.addcdiv(gradient, slope, self.steps)
        by_exponent = gradient * (self.codes - self.scaled) * self.steps - slope * self.scaled
        self.base.grad = _OCTAVE * by_exponent.sum((1, 2), keepdim=True)

    @torch.no_grad()
    def bits(self):
        """What the codes cost under the price, in bits."""
        return float((self.codes.abs() * self.price + torch.log2(1 / (1 - torch.exp2(-self.price))) + (self.codes != 0)).sum())

    def state(self):
        """All that `restore` needs, as tensors. The grids too: rounded anew in another process, they may be others."""
        grids = {"rows": torch.from_numpy(self.rows), "columns": torch.from_numpy(self.columns), "offsets": self.offsets}
        return {"latent": self.latent.data, "base": self.base.data, "price": self.price, **grids}

    def restore(self, state):
        self.latent.data.copy_(state["latent"])
        self.base.data.copy_(state["base"])
        self.price, self.offsets = (state[part].to(self.latent.device) for part in ("price", "offsets"))
        self.rows, self.columns, self._exponents = state["rows"].numpy(), state["columns"].numpy(), None

    def tensors(self):
        """{name: CodedTensor} of the codes as they are."""
        self.quantize()
        codes = self.codes.to(torch.int32).cpu().numpy()
        parts = zip(self.names, codes, self._exponents.reshape(-1), self.rows, self.columns, self.offsets.reshape(-1).tolist())
        return {n: CodedTensor(q, int(b), r.astype(np.int16), c.astype(np.int16), int(o)) for n, q, b, r, c, o in parts}


@dataclass(frozen=True)
class Step:
    """One optimizer step: the batch's mean loss (nats per token) and the code's price (bits) before it."""

    loss: float
    bits: float


def tune(model, parameters, rounded, settings, tokens, exchange, predictions, unfinished=NOWHERE):
    """({name: CodedTensor}, list of Step) after tuning `rounded` ({name: Rounded}) on integer `tokens` [windows, length].

    `tokens` are inputs and last target of windows in the order they are used. The model's own weights are left alone, and it
    stays in evaluation mode: dropout has no part in the loss that the bound is about. `unfinished`: as of models.training.train.

    Raises:
        InputError: the loss is no longer finite.
    """
    described = {p["name"]: p for p in parameters}
    groups = _groups(described, rounded, model.device)
    optimizer = torch.optim.Adam(
        [{"params": [g.latent for g in groups], "factor": 1.0}, {"params": [g.base for g in groups], "factor": settings.exponent_rate}],
        betas=(0.9, settings.beta2),
        eps=1e-10,
    )
    done, history = _restored(unfinished.restore(), groups, optimizer)
    nats_per_bit = exchange * math.log(2) / predictions
    steps, peak = settings.steps(predictions, tokens.shape[1] - 1), settings.peak_learning_rate(predictions)
    tokens_of_batch = settings.batch_rows * (tokens.shape[1] - 1)
    with fast_products(model.device), progress(steps * tokens_of_batch, "tokens", f"tune on {model.device.type}", done * tokens_of_batch) as bar:
        for step in range(done, steps):
            for group in optimizer.param_groups:
                group["lr"] = peak * schedule(settings, steps, step) * group["factor"]
            rows = tokens[np.arange(step * settings.batch_rows, (step + 1) * settings.batch_rows) % len(tokens)]
            loss = _update(
                model, described, groups, torch.as_tensor(rows, dtype=torch.long, device=model.device), nats_per_bit, step % settings.refresh_every == 0
            )
            torch.nn.utils.clip_grad_norm_([g.latent for g in groups], settings.clip_norm)
            optimizer.step()
            if not math.isfinite(loss):
                raise InputError("tuning", f"loss {loss} at step {step + 1}", "Lower tuning.learning_rate")
            if step % settings.refresh_every == 0:
                history.append(Step(loss, sum(g.bits() for g in groups)))
            bar.update(tokens_of_batch)
            unfinished.keep(lambda: _so_far(step + 1, groups, optimizer, history))  # noqa: B023 (called at once)
    tuned = {name: tensor for group in groups for name, tensor in group.tensors().items()}
    return {name: tuned[name] for name in described}, history


def _restored(state, groups, optimizer):
    """(number of steps done, list of Step) of a state as `_so_far` gives it, which is put in place; of None, those of the beginning."""
    if state is None:
        return 0, []
    for group, part in zip(groups, state["groups"], strict=True):
        group.restore(part)
    optimizer.load_state_dict(state["optimizer"])
    return state["done"], [Step(*step) for step in state["history"]]


def _so_far(done, groups, optimizer, history):
    return {"done": done, "groups": [g.state() for g in groups], "optimizer": optimizer.state_dict(), "history": [astuple(step) for step in history]}


@contextlib.contextmanager
def fast_products(device):
    """On a CUDA device, matrix products of fp32 by its tensor cores, with mantissas of 10 bits (TF32).

    The noise that this adds to gradients is far below that of a batch; what is certified are the codes that come out, which are scored anew.
    """
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = before or device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def schedule(settings, steps, step):
    """Share of the peak learning rate at `step` (from 0) of `steps`: linear warm-up, then cosine to `final_learning_rate_fraction`."""
    warmup = min(settings.warmup_steps, steps // 10)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    floor = settings.final_learning_rate_fraction
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))


def _groups(described, rounded, device):
    by_shape = {}
    for name, parameter in described.items():
        by_shape.setdefault((rounded[name].tensor.codes.shape, parameter["use"]), []).append(name)
    return [Group(names, use, [rounded[name] for name in names], device) for (_, use), names in by_shape.items()]


def _update(model, described, groups, tokens, nats_per_bit, refresh):
    """Give every group the gradient of loss and price on `tokens`; returns the loss."""
    loss = _forward(model, described, groups, tokens)
    loss.backward()
    for group in groups:
        if refresh:
            group.learn_price()
        group.collect(nats_per_bit)
    return loss.item()


def _forward(model, described, groups, tokens):
    """Mean loss in nats per token of windows [batch, length] under the quantized weights."""
    weights = {}
    for group in groups:
        for name, matrix in zip(group.names, group.quantize().unbind()):
            weights[name] = from_matrix(matrix, described[name]["shape"], group.use)
    logits = torch.func.functional_call(model, weights, kwargs={"input_ids": tokens[:, :-1]}).logits
    return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())
