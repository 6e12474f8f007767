"""Generalization bounds along training: plug-in estimates from the token scores of every kept checkpoint, at the nominal code length."""

from scalebound.artifacts.provenance import check_keys, read_json
from scalebound.artifacts.trajectory_scores import read_trajectory
from scalebound.bounds.evaluation import Problem, evaluate
from scalebound.bounds.token_scores import TokenScores, mean_loss
from scalebound.configuration.config import Bound, GridQuantizer, TrainingRun, parse
from scalebound.errors import InputError
from scalebound.progress import progress

GROUP = "studies"

MODEL_NEEDS = {"checkpoint": dict, "n_params": int, "vocab_size": int}


INPUTS = {"model": "resolved.json of the row", "scores": "scores.parquet of the trajectory"}
OUTPUTS = {"out": "bounds.json: all bounds of every kept step"}
SETTINGS = Bound
PACKAGES = ["numpy"]


def said(made):
    result = made["out"]
    last = result["points"][-1]["nominal"]["paper"]["bound"]
    return f"estimates for {len(result['points'])} steps of {result['line']}, at the last: paper's bound {last:.3f} nats"


def compute(inputs, settings):
    """The content of bounds.json.

    At each step n counts the predictions of the distinct rows that it had seen, and L is b N bits as in the paper.

    Raises:
        InputError: unreadable files, or scores of another run than the model's.
    """
    model = read_json(inputs["model"], "resolve", MODEL_NEEDS)
    check_keys(model["checkpoint"], {"slug": str, "repo": str, "step": int}, inputs["model"])
    steps, made_of = read_trajectory(inputs["scores"])
    used = made_of.get("settings")
    check_keys(used, {"run": dict, "quantizer": dict, "last_step": int}, inputs["scores"])
    training, quantizer = (parse(kind, used[name], inputs["scores"]) for kind, name in ((TrainingRun, "run"), (GridQuantizer, "quantizer")))
    if used["last_step"] != model["checkpoint"]["step"]:
        raise InputError(
            inputs["scores"], f"goes to step {used['last_step']}, the model is of step {model['checkpoint']['step']}", "Score the trajectory again"
        )
    with progress(len(steps), "steps", f"bounds of {model['checkpoint']['slug']}") as bar:
        points = [_point(scores, training, model, quantizer.bits, settings, bar) for scores in steps]
    result = {
        "kind": "estimate",
        "why_estimate": "means over the training stream are replaced by means over a sample of windows",
        "checkpoint": model["checkpoint"],
        "line": model["checkpoint"]["repo"],
        "n_params": model["n_params"],
        "vocab_size": model["vocab_size"],
        "nominal_bits_per_param": quantizer.bits,
        "points": points,
    }
    return {"out": result}


def _point(scores, training, model, bits, settings, bar):
    rows, (windows, positions) = training.rows_seen(scores.step), scores.nll.shape
    problem = Problem(
        scores=TokenScores(scores.quantized_nll, scores.quantized_entropy, model["vocab_size"]),
        train_loss=float(scores.nll.mean()),
        tokens=rows * positions,
    )
    nominal = evaluate(problem, bits * model["n_params"], settings)
    bar.update(1)
    return {
        "step": scores.step,
        "rows_seen": rows,
        "n_tokens": problem.tokens,
        "sampled_windows": windows,
        "train_loss": problem.train_loss,
        "quantized_loss": mean_loss(problem.scores),
        "nominal": nominal,
    }
