"""Generalization bounds of one quantized checkpoint: plug-in estimates from its token scores."""

import numpy as np

from scalebound.artifacts.provenance import check_keys, read_json
from scalebound.artifacts.scores import model_digest, read_pair_scores, read_scores, standard_error, windows_digest
from scalebound.bounds.ceilings import grids_of
from scalebound.bounds.evaluation import Problem, evaluate, evaluate_online
from scalebound.commands.stage import Many
from scalebound.configuration.config import Bound
from scalebound.configuration.types import Slug
from scalebound.errors import InputError
from scalebound.quantization.message import CODE_STAGES

GROUP = "bounds and certificates"

MODEL_NEEDS = {"checkpoint": dict, "n_params": int, "vocab_size": int}
CODE_NEEDS = {"nominal_bits_per_param": float, "coded_bits_per_param": float, "nominal_bits": int, "code_length_bits": int, "gptq_share": float}


INPUTS = {
    "model": "resolved.json",
    "code": "code.json",
    "scores": "scores.parquet of the unquantized model",
    "quantized_scores": "scores.parquet of the decoded model",
    "heldout": Many("scores.parquet of the unquantized model on held-out rows, where the stream has some"),
}
OUTPUTS = {"out": "bounds.json"}
PACKAGES = ["numpy"]


class Settings(Bound):
    quantizer: Slug


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
    model, code = read_json(inputs["model"], "resolve", MODEL_NEEDS), read_json(inputs["code"], CODE_STAGES, CODE_NEEDS)
    check_keys(model["checkpoint"], {"slug": str, "tokens_seen": int}, inputs["model"])
    plain, _, drawn = read_scores(inputs["scores"])
    nll, entropy, scored = read_scores(inputs["quantized_scores"])
    check_keys(drawn, {"sampling": str}, inputs["scores"])
    if windows_digest(drawn, inputs["scores"]) != windows_digest(scored, inputs["quantized_scores"]):
        raise InputError(inputs["quantized_scores"], "scored on other windows than the unquantized model", "Score both on the same draw")
    # of a checkpoint without a history there is no reference to score beside
    pairs = read_pair_scores(inputs["quantized_scores"], model["vocab_size"])[0] if scored["stage"] == "score-references" else None
    checkpoint = model["checkpoint"]
    problem = Problem(
        nll=nll,
        entropy=entropy,
        train_loss=float(plain.mean()),
        tokens=checkpoint["tokens_seen"],
        vocab_size=model["vocab_size"],
    )
    result = {
        "kind": "estimate",
        "why_estimate": "means over the training stream are replaced by means over a sample of windows",
        "checkpoint": checkpoint,
        "quantizer": settings.quantizer,
        "n_params": model["n_params"],
        "n_tokens": checkpoint["tokens_seen"],
        "vocab_size": model["vocab_size"],
        "sampled_windows": len(plain),
        "sampled_tokens": plain.size,
        # `approximate` where the order that the checkpoint saw is not published
        "sampling": drawn["sampling"],
        "train_loss": problem.train_loss,
        "quantized_loss": float(problem.nll.mean()),
        "heldout": next((_heldout(path, model_digest(drawn, inputs["scores"])) for path in inputs["heldout"]), None),
        "nominal_bits_per_param": code["nominal_bits_per_param"],
        "coded_bits_per_param": code["coded_bits_per_param"],
        "gptq_share": code["gptq_share"],
        "nominal": _bounds(problem, pairs, code["nominal_bits"], settings),
        "coded": _bounds(problem, pairs, code["code_length_bits"], settings),
    }
    return {"out": result}


def _bounds(problem, pairs, code_length_bits, settings):
    """Every bound at one code length; `online` is None where there are no scores beside references."""
    grids = grids_of("online", settings.online.model_dump())
    online = None if pairs is None else evaluate_online(pairs, problem.tokens, code_length_bits, settings.failure_probability, grids)
    return evaluate(problem, code_length_bits, settings) | {"online": online}


def _heldout(path, model):
    """{"loss", "standard_error", "windows"} of the scores at `path` of the model whose description has this digest."""
    nll, _, made_of = read_scores(path)
    if made_of.get("sampling") != "heldout":
        raise InputError(path, f"scores of windows that are {made_of.get('sampling')!r}", "Give scores of held-out windows")
    if model_digest(made_of, path) != model:
        raise InputError(path, "scores of another model than those on the training stream", "Score one model on both")
    if not np.isfinite(nll).all():
        raise InputError(path, "losses that are not finite", "Delete it and let snakemake make it again")
    return {"loss": float(nll.mean()), "standard_error": standard_error(nll), "windows": len(nll)}
