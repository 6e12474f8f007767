"""Generalization bounds of one quantized checkpoint: plug-in estimates from its token scores."""

from scalebound.artifacts import atomic
from scalebound.artifacts.provenance import check_keys, identity, read_json
from scalebound.artifacts.scores import read_scores, windows_digest
from scalebound.bounds.evaluation import Problem, evaluate
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.configuration.config import Bound, parse
from scalebound.errors import InputError
from scalebound.quantization.message import CODE_STAGES

MODEL_NEEDS = {"checkpoint": dict, "n_params": int, "vocab_size": int}
CODE_NEEDS = {"nominal_bits_per_param": float, "coded_bits_per_param": float, "nominal_bits": int, "code_length_bits": int}


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
    model, code = read_json(inputs["model"], "resolve", MODEL_NEEDS), read_json(inputs["code"], CODE_STAGES, CODE_NEEDS)
    check_keys(model["checkpoint"], {"slug": str, "tokens_seen": int}, inputs["model"])
    plain, _, drawn = read_scores(inputs["scores"])
    nll, entropy, scored = read_scores(inputs["quantized_scores"])
    check_keys(drawn, {"sampling": str}, inputs["scores"])
    if windows_digest(drawn, inputs["scores"]) != windows_digest(scored, inputs["quantized_scores"]):
        raise InputError(inputs["quantized_scores"], "scored on other windows than the unquantized model", "Score both on the same draw")
    checkpoint = model["checkpoint"]
    problem = Problem(
        nll=nll,
        entropy=entropy,
        train_loss=float(plain.mean()),
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
        "sampled_windows": len(plain),
        "sampled_tokens": plain.size,
        # `approximate` where the order that the checkpoint saw is not published
        "sampling": drawn["sampling"],
        "train_loss": problem.train_loss,
        "quantized_loss": float(problem.nll.mean()),
        "nominal_bits_per_param": code["nominal_bits_per_param"],
        "coded_bits_per_param": code["coded_bits_per_param"],
        "nominal": evaluate(problem, code["nominal_bits"], settings),
        "coded": evaluate(problem, code["code_length_bits"], settings),
    }
