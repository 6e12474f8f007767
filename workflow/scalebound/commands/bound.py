"""Generalization bounds of one quantized checkpoint: plug-in estimates from its token scores."""

import numpy as np

from scalebound.artifacts import windows
from scalebound.artifacts.provenance import check_keys, file_sha256, read_json
from scalebound.artifacts.scores import model_digest, open_pair_scores, open_scores, read_scores, standard_error, windows_digest
from scalebound.bounds import smoothing
from scalebound.bounds.ceilings import grids_of
from scalebound.bounds.confidence import pilot_bet_upper
from scalebound.bounds.evaluation import Problem, evaluate, evaluate_online
from scalebound.bounds.later_part import first_row
from scalebound.bounds.token_scores import mean_loss
from scalebound.commands.stage import Many
from scalebound.configuration.config import Bound
from scalebound.configuration.types import Slug
from scalebound.errors import InputError
from scalebound.quantization.message import CODE_STAGES

GROUP = "bounds and certificates"

MODEL_NEEDS = {"checkpoint": dict, "n_params": int, "vocab_size": int}
HELDOUT_ALPHA, HELDOUT_PILOT = 0.01, 0.1  # smoothing, without which no loss is bounded, and the share that a bet is chosen on
CODE_NEEDS = {"nominal_bits_per_param": float, "coded_bits_per_param": float, "nominal_bits": int, "code_length_bits": int, "gptq_share": float}


INPUTS = {
    "model": "resolved.json",
    "code": "code.json",
    "windows": "windows.parquet of the draw",
    "scores": "scores.parquet of the unquantized model on it",
    "quantized_scores": "scores.parquet of the decoded model",
    "heldout": Many("scores.parquet of the unquantized model on held-out rows, where the stream has some"),
}
OUTPUTS = {"out": "bounds.json"}
PACKAGES = ["numpy"]


class Settings(Bound):
    """The quantizer; the shares of the stream from which on losses are stated too, beside that of the whole."""

    quantizer: Slug
    starts: list[float]


SETTINGS = Settings


def said(made):
    result = made["out"]
    shown, slug = result["nominal"]["paper"]["bound"], result["checkpoint"]["slug"]
    return f"estimate for {slug} {result['quantizer']}: loss {result['train_loss']:.3f}, paper's bound {shown:.3f} nats"


def compute(inputs, settings):
    """The content of bounds.json.

    Raises:
        InputError: unreadable files, scores of different windows or models, or held-out scores of training windows.
    """
    model, code = read_json(inputs["model"], "resolve", MODEL_NEEDS), read_json(inputs["code"], (*CODE_STAGES, "student"), CODE_NEEDS)
    check_keys(model["checkpoint"], {"slug": str, "tokens_seen": int}, inputs["model"])
    plain, drawn = open_scores(inputs["scores"], model["vocab_size"])
    quantized, scored = open_scores(inputs["quantized_scores"], model["vocab_size"])
    check_keys(drawn, {"sampling": str}, inputs["scores"])
    rows, _, _ = windows.read_rows(inputs["windows"])
    for name, made_of in (("scores", drawn), ("quantized_scores", scored)):
        if windows_digest(made_of, inputs[name]) != file_sha256(inputs["windows"]):
            raise InputError(inputs[name], f"scored on other windows than those of {inputs['windows']}", "Score both models on the same draw")
    # of a checkpoint without a history there is no reference to score beside
    pairs = open_pair_scores(inputs["quantized_scores"], model["vocab_size"])[0] if scored["stage"] == "score-references" else None
    checkpoint = model["checkpoint"]
    problem = Problem(quantized, train_loss=mean_loss(plain), tokens=checkpoint["tokens_seen"])
    nominal = _bounds(problem, pairs, code["nominal_bits"], settings)
    result = {
        "kind": "estimate",
        "why_estimate": "means over the training stream are replaced by means over a sample of windows",
        "checkpoint": checkpoint,
        "quantizer": settings.quantizer,
        "n_params": model["n_params"],
        "n_tokens": checkpoint["tokens_seen"],
        "vocab_size": model["vocab_size"],
        "sampled_windows": len(plain),
        "sampled_tokens": len(plain) * plain.positions,
        # `approximate` where the order that the checkpoint saw is not published
        "sampling": drawn["sampling"],
        "train_loss": problem.train_loss,
        "quantized_loss": mean_loss(quantized),
        "later": [_later(start, rows, plain, quantized, checkpoint["tokens_seen"]) for start in settings.starts],
        "heldout": next((_heldout(path, model_digest(drawn, inputs["scores"]), model["vocab_size"], settings) for path in inputs["heldout"]), None),
        "nominal_bits_per_param": code["nominal_bits_per_param"],
        "coded_bits_per_param": code["coded_bits_per_param"],
        "gptq_share": code["gptq_share"],
        "nominal": nominal,
        # a code without a nominal length has the same in both places
        "coded": nominal if code["code_length_bits"] == code["nominal_bits"] else _bounds(problem, pairs, code["code_length_bits"], settings),
    }
    return {"out": result}


def _bounds(problem, pairs, code_length_bits, settings):
    """Every bound at one code length; `online` is None where there are no scores beside references."""
    grids = grids_of("online", settings.online.model_dump())
    online = None if pairs is None else evaluate_online(pairs, problem.tokens, code_length_bits, settings.failure_probability, grids)
    return evaluate(problem, code_length_bits, settings) | {"online": online}


def _later(start, rows, plain, quantized, seen):
    """Losses of both models on the windows from a share of the stream on; None where there are no windows."""
    there = rows >= first_row(start, seen // plain.positions)
    means = [mean_loss(scores.of(there)) if there.any() else None for scores in (plain, quantized)]
    return {"from": start, "windows": int(there.sum()), "train_loss": means[0], "quantized_loss": means[1]}


def _heldout(path, model, vocab_size, settings):
    """{"loss", "standard_error", "windows", "bound"} of the scores at `path` of the model whose description has this digest.

    The bound is on the mean risk of the model, smoothed a little, over text such as this, with windows taken as independent draws of it.
    """
    nll, _, made_of = read_scores(path)
    if made_of.get("sampling") != "heldout":
        raise InputError(path, f"scores of windows that are {made_of.get('sampling')!r}", "Give scores of held-out windows")
    if model_digest(made_of, path) != model:
        raise InputError(path, "scores of another model than those on the training stream", "Score one model on both")
    if not np.isfinite(nll).all():
        raise InputError(path, "losses that are not finite", "Delete it and let snakemake make it again")
    smoothed, (least, worst) = smoothing.smoothed_loss(nll, HELDOUT_ALPHA, vocab_size), smoothing.smoothed_range(HELDOUT_ALPHA, vocab_size)
    bound = pilot_bet_upper(smoothed.mean(axis=1) - least, worst - least, HELDOUT_PILOT, settings.failure_probability) + least
    return {"loss": float(nll.mean()), "standard_error": standard_error(nll), "windows": len(nll), "bound": bound}
