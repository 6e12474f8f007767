"""Information content of a model from its training-loss curve (the paper, section 5; theory.md, section 9).

K(h) ~ sum over k <= D of (loss_k - loss_D), in nats: what coding the stream while learning it costs beyond coding it with
the final model. By symmetry of information that is about the information in the model, but no code for it: an estimate.

Text is uneven: single documents move the loss by more than learning does. The second term is therefore the mean loss of the
model at D over the same D tokens, not the end of the curve; what is hard or easy to predict then cancels.
"""

import numpy as np

from scalebound.errors import InputError


def recorded(tokens, losses, places, place_losses):
    """K in nats, float64 [places], of a run that read every row once.

    `tokens`: predictions seen after each optimizer step, [steps]; `losses`: mean loss of each step's batch before the step,
    nats; `places`: token counts after one of the steps; `place_losses`: the mean loss over all tokens up to there of the model
    as it then was, nats.

    Raises:
        InputError: a loss is not finite, a step saw nothing new (rows that are read again tell nothing of the stream), or a
            place is no step's.
    """
    tokens, losses = np.asarray(tokens, dtype=np.int64), np.asarray(losses, dtype=np.float64)
    places, place_losses = np.asarray(places, dtype=np.int64), np.asarray(place_losses, dtype=np.float64)
    fresh = np.diff(tokens, prepend=0)
    if tokens.ndim != 1 or tokens.shape != losses.shape or not len(tokens):
        raise InputError("loss curve", f"{tokens.shape} token counts, {losses.shape} losses", "Give one of each for every step")
    if not (np.isfinite(losses).all() and np.isfinite(place_losses).all()):
        raise InputError("loss curve", "a loss is NaN or infinite", "Train the run again")
    if (fresh <= 0).any():
        raise InputError("loss curve", f"step {int(np.argmax(fresh <= 0)) + 1} saw no new row", "Only runs of one epoch have a prequential code length")
    steps = np.searchsorted(tokens, places)
    if (steps == len(tokens)).any() or (tokens[np.minimum(steps, len(tokens) - 1)] != places).any():
        raise InputError("loss curve", f"no step with one of {places.tolist()} tokens", "The checkpoints are not of this run")
    return np.cumsum(fresh * losses)[steps] - places * place_losses


def through_points(tokens, losses, start_loss):
    """K in nats, float64 [points], at a few released checkpoints of one model, from their mean losses alone.

    Between two points the loss is taken to be linear in log D, as power laws nearly are; before the first it is taken to be
    `start_loss` (log V: nothing learned), which can only make the information larger.

    Raises:
        InputError: fewer than two points, token counts that do not ascend, or a loss that is not finite.
    """
    tokens, losses = np.asarray(tokens, dtype=np.int64), np.asarray(losses, dtype=np.float64)
    if len(tokens) < 2 or (np.diff(tokens) <= 0).any() or not np.isfinite(losses).all():
        raise InputError("loss curve", f"checkpoints at {tokens.tolist()} tokens", "Give rows of the same model at two steps or more")
    left, right = tokens[:-1].astype(np.float64), tokens[1:].astype(np.float64)
    slope = np.diff(losses) / np.log(right / left)
    # the integral of loss_i + slope log(D / left) over D from left to right
    pieces = losses[:-1] * (right - left) + slope * (right * np.log(right / left) - (right - left))
    paid = tokens[0] * start_loss + np.concatenate([[0.0], np.cumsum(pieces)])
    return paid - tokens * losses
