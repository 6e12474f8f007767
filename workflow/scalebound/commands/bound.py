"""Generalization bounds of one quantized checkpoint: plug-in estimates from its token scores."""

import numpy as np

from scalebound import atomic
from scalebound.bounds.evaluation import Problem, evaluate
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.config import Bound, parse
from scalebound.errors import InputError
from scalebound.provenance import identity, read_json
from scalebound.tables import identity_of, read_parquet


def add_arguments(parser):
    add_settings(parser, Bound)
    parser.add_argument("--quantizer", required=True, help="name of the quantizer")
    parser.add_argument("--model", required=True, help="resolved.json")
    parser.add_argument("--code", required=True, help="code.json")
    parser.add_argument("--scores", required=True, help="scores.parquet of the unquantized model")
    parser.add_argument("--quantized-scores", required=True, help="scores.parquet of the decoded model")
    parser.add_argument("--out", required=True, help="bounds.json")


def run(arguments):
    settings = read_settings(arguments, Bound)
    inputs = {"model": arguments.model, "code": arguments.code, "scores": arguments.scores, "quantized_scores": arguments.quantized_scores}
    result = evaluate_files(inputs, arguments.quantizer, settings.model_dump())
    made_of = identity("bound", inputs, {**settings.model_dump(), "quantizer": arguments.quantizer}, packages=["numpy"])
    atomic.write_json(arguments.out, {"identity": made_of, **result})
    shown, slug = result["nominal"]["paper"]["bound"], result["checkpoint"]["slug"]
    print(f"estimate for {slug} {arguments.quantizer}: loss {result['train_loss']:.3f}, paper's bound {shown:.3f} nats")
    return [arguments.out]


def evaluate_files(inputs, quantizer, settings):
    """The content of bounds.json, without its identity, from the files {model, code, scores, quantized_scores}.

    Raises:
        InputError: unreadable files, or scores of different windows.
    """
    settings = parse(Bound, settings, "settings")
    model, code = read_json(inputs["model"], "resolve"), read_json(inputs["code"], "encode")
    plain, quantized = (read_parquet(inputs[name], "score") for name in ("scores", "quantized_scores"))
    scored = identity_of(plain, inputs["scores"])
    _check_same_windows(scored, identity_of(quantized, inputs["quantized_scores"]), inputs["quantized_scores"])
    checkpoint = model["checkpoint"]
    problem = Problem(
        nll=_column(quantized, "nll"),
        entropy=_column(quantized, "entropy"),
        train_loss=float(_column(plain, "nll").mean()),
        tokens=checkpoint["tokens_seen"],
        vocab_size=model["vocab_size"],
    )
    return {
        "kind": "estimate",
        "why_estimate": "means over the training stream are replaced by means over a sample of windows",
        "checkpoint": checkpoint,
        "quantizer": quantizer,
        "n_params": model["n_params"],
        "n_tokens": checkpoint["tokens_seen"],
        "vocab_size": model["vocab_size"],
        "sampled_windows": int(plain["window"].to_numpy().max()) + 1,
        "sampled_tokens": plain.num_rows,
        # `approximate` where the order that the checkpoint saw is not published
        "sampling": scored["sampling"],
        "train_loss": problem.train_loss,
        "quantized_loss": float(problem.nll.mean()),
        "nominal_bits_per_param": code["nominal_bits_per_param"],
        "coded_bits_per_param": code["coded_bits_per_param"],
        "nominal": evaluate(problem, code["nominal_bits"], settings),
        "coded": evaluate(problem, code["code_length_bits"], settings),
    }


def _column(table, name):
    return table[name].to_numpy().astype(np.float64)


def _check_same_windows(plain, quantized, path):
    if plain["inputs"]["windows"]["sha256"] != quantized["inputs"]["windows"]["sha256"]:
        raise InputError(path, "scored on other windows than the unquantized model", "Score both on the same draw")
