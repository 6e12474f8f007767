"""The shortest code for a good hypothesis: rounding at several rates, the best of them by its price, then tuning.

Rates are compared by `loss + exchange * code length in nats / predictions` on calibration windows (theory: section 8). The
choice is in the message, so it needs no union bound; the windows of the bound's own draw are not seen here.
"""

from dataclasses import asdict, dataclass

import numpy as np

from scalebound.errors import InputError
from scalebound.quantization.rate import message
from scalebound.quantization.rate.initial import RateRounder, assign, theoretical_exponent
from scalebound.quantization.rate.tuning import tune
from scalebound.scoring.scoring import score


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
    their share of the training tokens.
    """

    tensors: dict
    candidates: list
    chosen: int
    tuning: list
    tuned_tokens: int
    share_of_training: float

    def report(self):
        """What a report repeats, as JSON values."""
        return {
            "candidates": [asdict(c) for c in self.candidates],
            "chosen": self.chosen,
            "tuned_tokens": self.tuned_tokens,
            "share_of_training": self.share_of_training,
            "tuning": [asdict(step) for step in self.tuning],
        }


def compress(model, parameters, settings, calibration, tuning, predictions):
    """Compressed form of `model`, which then holds the weights of the chosen candidate.

    parameters: the architecture's list. calibration and tuning: integer windows [windows, length] from draws of their own,
    inputs and last target; tuning windows are used in order, again from the first when there are too few. predictions: n, the
    tokens that the checkpoint was trained on.

    Raises:
        InputError: no predictions, no tuning windows although steps are asked for, or weights that cannot be rounded.
    """
    if predictions < 1:
        raise InputError("predictions", f"{predictions}", "A checkpoint must have seen at least one token")
    steps = settings.tuning.steps(predictions, calibration.shape[1] - 1)
    if steps and not len(tuning):
        raise InputError("tuning", "no windows", "Draw some, or set tuning.share_of_training to 0")
    rounder, candidates, found = RateRounder(model, parameters, settings, calibration[:, :-1]), [], []
    for offset in settings.step_offsets:
        exponent = theoretical_exponent(settings.exchange, predictions) + offset
        rounded = rounder.round_all(exponent)
        found.append((rounded, {name: r.tensor for name, r in rounded.items()}))
        candidates.append(_weigh(model, parameters, found[-1][1], exponent, False, settings, calibration, predictions))
    chosen, history, tokens = int(np.argmin([c.price for c in candidates])), [], 0
    tensors = found[chosen][1]
    if steps:
        tuned, history = tune(model, parameters, found[chosen][0], settings.tuning, tuning, settings.exchange * settings.tuning.price_factor, predictions)
        candidates.append(_weigh(model, parameters, tuned, candidates[chosen].exponent, True, settings, calibration, predictions))
        tokens = steps * settings.tuning.batch_rows * (tuning.shape[1] - 1)
        if candidates[-1].price < candidates[chosen].price:
            chosen, tensors = len(candidates) - 1, tuned
    _put(model, parameters, tensors)
    return Compressed(tensors, candidates, chosen, history, tokens, tokens / predictions)


def _weigh(model, parameters, tensors, exponent, tuned, settings, calibration, predictions):
    _put(model, parameters, tensors)
    bits, loss = message.ideal_bits(tensors, parameters), float(score(model, calibration).nll.mean(dtype=np.float64))
    return Candidate(exponent, tuned, bits, loss, loss + settings.exchange * bits * float(np.log(2)) / predictions)


def _put(model, parameters, tensors):
    weights = dict(model.named_parameters())
    for parameter in parameters:
        assign(weights[parameter["name"]], tensors[parameter["name"]], parameter)
