"""What a nat of code costs in the bound that a checkpoint is to be certified by: the slope of the bound in C, at a length that is to be expected.

The least of a bound over its grids has the slope of the bound at that grid point, which is the weight of its tangent: of (G)
about log V + log(1 / a) less the loss, of (D) near sqrt(v / 2C), or mean m where that is more. It moves as C^(-1/2) at most, so that the
expected length need not be near.
"""

import numpy as np

from scalebound.artifacts.provenance import check_keys, file_sha256, read_json
from scalebound.artifacts.scores import model_digest, read_pair_scores, read_scores
from scalebound.bounds.ceilings import family_of, grids_of
from scalebound.bounds.certificate import plug_in
from scalebound.bounds.token_scores import TokenScores
from scalebound.configuration.config import Bound
from scalebound.errors import InputError

GROUP = "codes"

EXPECTED_BITS = 2.0  # of a coded parameter
INPUTS = {"model": "resolved.json", "scores": "scores.parquet of the unquantized model on the calibration draw, beside its references where it has some"}
OUTPUTS = {"out": "price.json"}
PACKAGES = ["numpy"]


class Settings(Bound):
    """The bound's own settings, and the method of the certificate."""

    method: str


SETTINGS = Settings


def said(made):
    found = made["out"]
    return f"a nat of code per token costs {found['exchange']:.3f} nats of the {found['method']} bound"


def compute(inputs, settings):
    """The content of price.json.

    Raises:
        InputError: unreadable files, or scores of another model.
    """
    model = read_json(inputs["model"], "resolve", {"checkpoint": dict, "n_params": int, "vocab_size": int})
    check_keys(model["checkpoint"], {"tokens_seen": int}, inputs["model"])
    scores, made_of = _scores(inputs["scores"], model["vocab_size"], settings.method)
    if model_digest(made_of, inputs["scores"]) != file_sha256(inputs["model"]):
        raise InputError(inputs["scores"], "scores of another model", f"Score the model of {inputs['model']}")
    grids = settings.online if settings.method == "online" else settings.ceilings
    family = family_of(settings.method, grids_of(settings.method, grids.model_dump()))
    c = family.complexity(EXPECTED_BITS * model["n_params"], model["checkpoint"]["tokens_seen"], settings.failure_probability)
    best = plug_in(family, scores, c)
    room = family.room(best["point"], scores)
    # the last of the weights is that of the half that pays for the code
    weight = np.atleast_1d(family.weight(room, best["point"], c))[-1]
    facts = {"method": settings.method, "expected_bits_per_param": EXPECTED_BITS, "C": float(np.atleast_1d(c)[-1])}
    return {"out": {**facts, "exchange": float(weight), "bound": best["value"], "point": best["point"], **family.parts(best["point"], scores, c)}}


def _scores(path, vocab_size, method):
    if method == "online":
        scores, _, _, made_of = read_pair_scores(path, vocab_size)
        return scores, made_of
    nll, entropy, made_of = read_scores(path)
    return TokenScores(nll, entropy, vocab_size), made_of
