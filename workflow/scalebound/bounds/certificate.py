"""A bound that holds as computed: (G), (F) or (D) of the decoded model, with the subsampling of the stream covered.

`certify` takes the scores of m windows drawn uniformly with replacement from the stream, splits them into a pilot (the
first windows of the draw: it is i.i.d., so any prefix is a fair split) and the rest, and follows theory, section 6:

1. On the pilot, choose the grid point, the weight of the tangent and the bet: whatever the forecast of step 3 likes best.
   C pays for the grids, since the pilot is part of the stream; the weight and the bet need no union, as they concern
   the draw alone, and the rest is independent of the pilot.
2. At these choices, (G), (F) or (D) is at most the population mean of one bounded value a window, plus a constant.
3. On the rest, bound that mean from above at level d2.

The result holds with probability 1 - d1 - d2: d1 over the training stream (of which (D) takes half for its reference), d2
over the draw.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from scalebound.bounds import confidence
from scalebound.bounds.ceilings import family_of, grids_of
from scalebound.bounds.grid_search import least_on_grid
from scalebound.bounds.token_scores import TokenScores, mean_loss
from scalebound.errors import InputError

PREVIEW_TOKENS = 16384  # tokens that the coarse pass of a search looks at


@dataclass(frozen=True)
class CertificateSettings:
    """How to certify; every key is fixed before the scores are seen.

    Of the total failure probability, d1 over the stream costs log(1/d1) / n and d2 over the draw log(1/d2) / m, and m is
    far smaller than n: nearly all of it belongs to the draw.
    """

    method: str = "geometric"
    confidence: str = "betting"
    stream_failure_probability: float = 0.0001
    draw_failure_probability: float = 0.0099
    pilot_share: float = 0.1
    grids: object = None  # of the method's family; None: its defaults

    def __post_init__(self):
        if self.grids is None:
            object.__setattr__(self, "grids", grids_of(self.method, {}))
        probabilities = (self.stream_failure_probability, self.draw_failure_probability, self.pilot_share)
        if self.confidence not in confidence.NAMES or not all(0 < p < 1 for p in probabilities):
            names = ", ".join(confidence.NAMES)
            raise InputError("certificate", str(self), f"confidence is one of {names}; failure probabilities and the pilot's share are in (0, 1)")


def certify(nll, entropy, vocab_size, tokens, code_length_bits, settings):
    """`certify_scores` of losses and entropies [windows, positions] of the decoded model over V output entries: (G) or (F)."""
    return certify_scores(TokenScores(nll, entropy, vocab_size), tokens, code_length_bits, settings)


def certify_scores(scores, tokens, code_length_bits, settings):
    """The certificate as a JSON-able dict; losses and bounds in nats per token.

    Args:
        scores: `TokenScores` (for (D) `OnlineScores`) of the decoded model, windows in the order of the draw.
        tokens: n, predictions of the rows that the windows were drawn from.
        code_length_bits: L(h), actual length of the self-delimiting message that the model was decoded from.
        settings: a `CertificateSettings`.

    `values` has the certificate by each confidence bound at the same choices; only the one that `settings.confidence`
    names, given again as `value`, was decided on in advance. `terms` add up to `value`. `estimate` is what a plug-in
    would say: at the same choices on the rest, and at the best grid point for all windows; no statement is made of it.

    Raises:
        InputError: scores that are no such scores, or too few windows for a pilot and a rest of at least two each.
    """
    pilot, rest = split(scores, settings.pilot_share)
    family = family_of(settings.method, settings.grids)
    c = family.complexity(code_length_bits, tokens, settings.stream_failure_probability)
    chosen = choose(family, pilot, c, len(rest), settings)
    room, weight = family.room(chosen["point"], rest), chosen_weight(family, chosen)
    bounded, estimate = room.linearized(weight, c), room.tangent(weight, c)
    values = upper_bounds(bounded, chosen["bet_ceiling"], settings.draw_failure_probability)
    value = values[settings.confidence]
    return {
        "kind": "certificate",
        "value": value,
        "values": values,
        "terms": _terms(room, mean_loss(rest), estimate, value, c if np.any(family.free_weights) else None),
        **_named(family.complexity_names, c),
        "choice": chosen,
        **family.parts(chosen["point"], rest, c),
        "range": {"low": bounded.low, "high": bounded.high},
        "estimate": {"same_choice": estimate, "best": plug_in(family, scores, c)},
        "windows": {"pilot": len(pilot), "rest": len(rest), "positions": scores.positions},
        "grid_sizes": {name: len(axis) for name, axis in family.axes.items()},
        "vocab_size": scores.vocab_size,
        "tokens": tokens,
        "code_length_bits": code_length_bits,
        "settings": asdict(settings),
    }


def chosen_weight(family, chosen):
    """The weight, or the pair of them, of a choice by `choose`."""
    weights = [chosen[name] for name in family.weight_names]
    return weights if len(weights) > 1 else weights[0]


def _named(names, values):
    return dict(zip(names, np.atleast_1d(values).tolist()))


def split(scores, pilot_share):
    """(pilot, rest): the first windows of the draw, at least two, and the others. Raises InputError when too few are left."""
    pilot = max(2, math.floor(pilot_share * len(scores)))
    if len(scores) - pilot < 2:
        raise InputError("windows", str(len(scores)), "A certificate needs at least two windows for the pilot and two for the rest")
    return scores.of(slice(None, pilot)), scores.of(slice(pilot, None))


def choose(family, pilot, c, count, settings):
    """Grid point, weight and bet with the least forecast of the certificate on `count` further windows, JSON-able."""
    d = settings.draw_failure_probability

    def forecast(room, weight):
        bounded = room.linearized(weight, c)
        return confidence.forecast(settings.confidence, bounded.shifted, bounded.width, count, d) + bounded.unshift

    def forecast_at(scores, point):
        room = family.room(point, scores)
        return forecast(room, family.weight(room, point, c))

    # any choice on the pilot will do, one on some of its windows too
    pilot = pilot.held()
    point, _ = _least(family, pilot, forecast_at)
    room = family.room(point, pilot)
    weight = _least_weight(lambda w: forecast(room, w), family.weight(room, point, c), family.free_weights)
    bounded = room.linearized(weight, c)
    bet = confidence.best_ceiling(bounded.shifted, bounded.width, count, d)
    return {"point": point, **_named(family.weight_names, weight), "bet_ceiling": bet}


def upper_bounds(bounded, bet_ceiling, failure_probability):
    """The certificate by each confidence bound, from the `BoundedMean` of the rest."""
    values, width, d = bounded.shifted, bounded.width, failure_probability
    found = {
        "betting": confidence.betting_upper(values, width, bet_ceiling, d),
        "empirical_bernstein": confidence.empirical_bernstein_upper(values, width, d),
        "hoeffding": confidence.hoeffding_upper(values, width, d),
    }
    return {name: float(value + bounded.unshift) for name, value in found.items()}


def plug_in(family, scores, c):
    """The best (G), (F) or (D) over the grids with means over all windows: {value, point}, an estimate."""

    def value(scores, point):
        room = family.room(point, scores)
        return room.tangent(family.weight(room, point, c), c)

    point, least = _least(family, scores, value)
    return {"value": least, "point": point}


def _least(family, scores, value):
    """(point, value over all windows) where `value` of scores and a point is least among held scores, previewed on a part of these."""
    held = scores.held()
    thin = held if held.nll.size <= PREVIEW_TOKENS else held.thinned(PREVIEW_TOKENS)
    shape = tuple(len(axis) for axis in family.axes.values())

    def point(index):
        return {name: float(axis[i]) for (name, axis), i in zip(family.axes.items(), index)}

    preview = None if thin is held else lambda i: value(thin, point(i))
    index, least = least_on_grid(lambda i: value(held, point(i)), shape, preview)
    return point(index), least if held is scores else value(scores, point(index))


def _least_weight(forecast, start, free):
    """A smaller weight narrows the range and touches (G) a little away from its mean; the best is near `start`.

    `free` is 1 for a weight that may be changed and 0 for one that may not, in the shape of `start`.
    """
    if not np.any(free):
        return start
    start, free = np.asarray(start), np.asarray(free)
    found = minimize_scalar(lambda x: forecast(start * np.exp(x * free)), bounds=(-1.5, 0.5), method="bounded", options={"xatol": 1e-3})
    return start * np.exp(found.x * free) if found.fun < forecast(start) else start


def _terms(room, loss, plug_in_value, value, c_of_geometric):
    """From the loss of the decoded model to the certificate, in nats; linearization is that of (G), and 0 for (F)."""
    smoothed = float(room.loss.mean())
    bound = plug_in_value if c_of_geometric is None else room.geometric(c_of_geometric)
    return {
        "loss": loss,
        "smoothing": smoothed - loss,
        "generalization": bound - smoothed,
        "linearization": plug_in_value - bound,
        "sampling": value - plug_in_value,
    }
