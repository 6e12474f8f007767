"""The shortest code for a good hypothesis: rounding at several rates, the best of them by its price, then tuning.

Rates are compared by `loss + exchange * code length in nats / predictions` on calibration windows (theory: section 8). The
choice is in the message, so it needs no union bound; the windows of the bound's own draw are not seen here. Without tuning,
which moves the steps itself, the search goes on from the rates that were asked for until the price turns.
"""

import functools
from dataclasses import asdict, dataclass

import numpy as np

from scalebound.errors import InputError
from scalebound.models.unfinished import NOWHERE
from scalebound.quantization.rate import message
from scalebound.quantization.rate.initial import RateRounder, assign, theoretical_exponent
from scalebound.quantization.rate.tuning import tune
from scalebound.quantization.whole_model import gptq_share
from scalebound.scoring.scoring import score

STRIDE = 2  # quarters of an octave between rates of the search
FLAT = 0.01  # nats between prices that are the same for the search
FAR_WORSE = 1.0  # nats by which a code has lost the model


@dataclass(frozen=True)
class Candidate:
    """One hypothesis that was weighed: exponent of the global step, whether tuned, ideal code length in bits, mean loss on
    calibration windows and the price, both in nats per token."""

    exponent: int
    tuned: bool
    bits: float
    loss: float
    price: float


@dataclass(frozen=True)
class Compressed:
    """tensors: {parameter name: CodedTensor}. candidates: every Candidate, in the order tried; chosen: place of the one kept.

    tuning: recorded losses and prices of the tuning run (list of tuning.Step). tuned_tokens: predictions trained on, and
    their share of the training tokens. model_loss: of the model as it was, mean over the calibration windows in nats per token.
    gptq_share: see whole_model.gptq_share, of the rounding that the codes began with.
    """

    tensors: dict
    candidates: list
    chosen: int
    tuning: list
    tuned_tokens: int
    share_of_training: float
    model_loss: float
    gptq_share: float

    def notice(self):
        """What a user should know of the choice: that the code has lost the model; None where it has not."""
        loss = self.candidates[self.chosen].loss
        if loss - self.model_loss <= FAR_WORSE:
            return None
        return f"the chosen code has a loss of {loss:.3f} nats, the model {self.model_loss:.3f}: n pays for no better code, or step_offsets and tuning miss it"

    def report(self):
        """What a report repeats, as JSON values."""
        return {
            "candidates": [asdict(c) for c in self.candidates],
            "chosen": self.chosen,
            "tuned_tokens": self.tuned_tokens,
            "share_of_training": self.share_of_training,
            "model_loss": self.model_loss,
            "gptq_share": self.gptq_share,
            "tuning": [asdict(step) for step in self.tuning],
        }


def compress(model, parameters, settings, calibration, tuning, predictions, unfinished=NOWHERE):
    """Compressed form of `model`, which then holds the weights of the chosen candidate.

    parameters: the architecture's list. calibration and tuning: integer windows [windows, length] from draws of their own,
    inputs and last target; tuning windows are used in order, again from the first when there are too few. predictions: n, the
    tokens that the checkpoint was trained on. unfinished: where tuning goes on from, as of models.training.train.

    Raises:
        InputError: no predictions, no tuning windows although steps are asked for, or weights that cannot be rounded.
    """
    if predictions < 1:
        raise InputError("predictions", f"{predictions}", "A checkpoint must have seen at least one token")
    steps = settings.tuning.steps(predictions, calibration.shape[1] - 1)
    if steps and not len(tuning):
        raise InputError("tuning", "no windows", "Draw some, or set tuning.share_of_training to 0")
    model_loss = _loss(model, calibration)
    rounder, theory = RateRounder(model, parameters, settings, calibration[:, :-1]), theoretical_exponent(settings.exchange, predictions)
    candidates, best = [], {}

    def weigh(exponent):
        rounded = rounder.round_all(exponent)
        found = _weigh(model, parameters, _tensors(rounded), exponent, False, settings, calibration, predictions)
        if all(found.price < c.price for c in candidates):
            best["rounded"] = rounded
        candidates.append(found)

    for offset in settings.step_offsets:
        weigh(theory + offset)
    if not steps:
        search(weigh, candidates, model_loss + FAR_WORSE)
    chosen, history, tokens = int(np.argmin([c.price for c in candidates])), [], 0
    rounded, tensors = best["rounded"], _tensors(best["rounded"])
    if steps:
        exchange = settings.exchange * settings.tuning.price_factor
        tuned, history = tune(model, parameters, rounded, settings.tuning, tuning, exchange, predictions, unfinished)
        candidates.append(_weigh(model, parameters, tuned, candidates[chosen].exponent, True, settings, calibration, predictions))
        tokens = steps * settings.tuning.batch_rows * (tuning.shape[1] - 1)
        if candidates[-1].price < candidates[chosen].price:
            chosen, tensors = len(candidates) - 1, tuned
    _put(model, parameters, tensors)
    return Compressed(tensors, candidates, chosen, history, tokens, tokens / predictions, model_loss, gptq_share(rounded, parameters))


def search(weigh, candidates, lost):
    """Go on from the finest and from the coarsest of `candidates` until the price turns; `weigh(exponent)` adds one to them.

    With finer steps the code gets longer without end, so that the price turns; before that it may lie flat, where codes are all zero and the loss
    is above `lost`. With coarser ones it comes to a rest there: what gains next to nothing is not followed.
    """
    least = functools.partial(min, candidates, key=lambda c: c.price)
    while (finest := min(candidates, key=lambda c: c.exponent)) is least() or (finest.loss > lost and finest.price < least().price + FLAT):
        weigh(finest.exponent - STRIDE)
    while (coarsest := max(candidates, key=lambda c: c.exponent)) is least():
        weigh(coarsest.exponent + STRIDE)
        if least().price > coarsest.price - FLAT:
            break


def _tensors(rounded):
    return {name: r.tensor for name, r in rounded.items()}


def _loss(model, calibration):
    return float(score(model, calibration).nll.mean(dtype=np.float64))


def _weigh(model, parameters, tensors, exponent, tuned, settings, calibration, predictions):
    _put(model, parameters, tensors)
    bits, loss = message.ideal_bits(tensors, parameters), _loss(model, calibration)
    return Candidate(exponent, tuned, bits, loss, loss + settings.exchange * bits * float(np.log(2)) / predictions)


def _put(model, parameters, tensors):
    weights = dict(model.named_parameters())
    for parameter in parameters:
        assign(weights[parameter["name"]], tensors[parameter["name"]], parameter)
