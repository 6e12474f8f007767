"""Collect the bounds along training of a family: trajectory.csv, one line for each run or repository."""

import pandas as pd

from scalebound.artifacts.provenance import read_json
from scalebound.commands.stage import Many
from scalebound.errors import InputError, first_line

GROUP = "studies"

INPUTS = {
    "trajectories": Many("bounds.json files along training"),
    "bounds": Many("bounds.json files of checkpoints that were not trained here, each one point"),
}
OUTPUTS = {"out": "trajectory.csv"}
SETTINGS = None
PACKAGES = ["pandas"]


def compute(inputs, _):
    return {"out": trajectory_text(inputs["trajectories"], inputs["bounds"])}


def trajectory_text(trajectories, bounds):
    """trajectory.csv as text from the paths of bounds along training and of single checkpoints, by size, line and step.

    Raises:
        InputError: no file at all, or one that lacks a number.
    """
    lines = [line for path in trajectories for line in _guarded(_along, read_json(path, "bound-trajectory"), path)]
    lines += [line for path in bounds for line in _guarded(_point_of, read_json(path, "bound"), path)]
    if not lines:
        raise InputError("trajectory", "no checkpoint", "Give the bounds of at least one")
    table = pd.DataFrame(lines).sort_values(["n_params", "line", "n_tokens", "step", "checkpoint"], kind="stable")
    return table.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def _guarded(lines_of, content, path):
    try:
        return lines_of(content)
    except (KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise InputError(path, f"no bounds of a checkpoint ({first_line(error)})", "Delete it and let snakemake make it again") from None


def _along(content):
    """The lines of a run: its kept steps are named by run and step, as their folders are."""
    return [_line(content, f"{content['line']}/step{point['step']}", content["line"], point["step"], point) for point in content["points"]]


def _point_of(content):
    """The one line of a checkpoint that was not trained here; its repository is the line that it belongs to."""
    checkpoint = content["checkpoint"]
    return [_line(content, checkpoint["slug"], checkpoint["repo"], checkpoint["step"], content)]


def _line(content, checkpoint, line, step, point):
    nominal, paper = point["nominal"], point["nominal"]["paper"]
    return {
        "line": line,
        "checkpoint": checkpoint,
        "kind": content["kind"],
        "step": step,
        "n_params": content["n_params"],
        "n_tokens": point["n_tokens"],
        "tokens_per_param": point["n_tokens"] / content["n_params"],
        "vocab_size": content["vocab_size"],
        "train_loss": point["train_loss"],
        "quantized_loss": point["quantized_loss"],
        **{key: paper[key] for key in ("C", "sigma", "alpha")},
        "paper_bound": paper["bound"],
        **{f"term_{name}": value for name, value in paper["terms"].items() if name != "train_loss"},
        **{f"{name}_bound": nominal[name]["bound"] for name in ("freedman", "geometric", "azuma")},
        "sampled_windows": point["sampled_windows"],
    }
