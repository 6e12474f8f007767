"""Numbers of the studies again: each table from the artifacts that it was made of."""

import json

import numpy as np

from scalebound.artifacts.trajectory_scores import COLUMNS, read_trajectory
from scalebound.artifacts.windows import read as read_windows
from scalebound.audit import recompute_curvature
from scalebound.audit.findings import Finding
from scalebound.audit.recompute import check_text, first_difference
from scalebound.commands.baseline import evaluate_baseline
from scalebound.commands.baselines import baselines_text
from scalebound.commands.bound_trajectory import evaluate_trajectory
from scalebound.commands.trajectory import trajectory_text
from scalebound.configuration.config import TrainingRun
from scalebound.corpus import documents, heldout, tokenizer
from scalebound.corpus.rows import open_rows
from scalebound.scoring.trajectory import draw, steps_of


def check_trajectory_scores(job, folder):
    """The steps are those that the run keeps, the rows of each those of its seed, and the scores one finite value for each target."""
    (name,) = job.outputs
    settings, (steps, _) = job.settings, read_trajectory(folder.path(name))
    run = TrainingRun(**settings["run"])
    wanted = steps_of(run, settings["last_step"], settings["max_points"])
    if [scores.step for scores in steps] != wanted:
        return [Finding(name, f"scores of the steps {wanted}", f"{[scores.step for scores in steps]}")]
    rows, _ = open_rows(folder.path(job.inputs["tokens"]), folder.path(job.inputs["stream"]))
    for scores in steps:
        if not np.array_equal(scores.rows, draw(run, scores.step, settings["windows"], settings["seed"])):
            return [Finding(name, f"at step {scores.step} the rows of seed {settings['seed']}", "other rows")]
        for column in COLUMNS:
            values = getattr(scores, column)
            if values.shape != (settings["windows"], rows.row_tokens - 1) or not np.isfinite(values).all() or values.min() < 0:
                return [Finding(name, f"finite, non-negative {column} of every target at step {scores.step}", f"{values.shape}, minimum {values.min()}")]
    return []


def check_trajectory_bounds(job, folder):
    (name,) = job.outputs
    wanted = evaluate_trajectory({key: folder.path(path) for key, path in job.inputs.items()}, job.settings)
    found = json.loads(folder.path(name).read_text(encoding="utf-8"))
    found.pop("identity")
    problem = next((problem for problem in _differences(wanted, found) if problem), None)
    return [Finding(name, *problem)] if problem else []


def _differences(wanted, found):
    """Point by point, since lists are compared as a whole."""
    yield first_difference({k: v for k, v in wanted.items() if k != "points"}, {k: v for k, v in found.items() if k != "points"}, "")
    if len(wanted["points"]) != len(found["points"]):
        yield f"{len(wanted['points'])} points", f"{len(found['points'])}"
    for left, right in zip(wanted["points"], found["points"]):
        yield first_difference(left, right, f"step {left['step']}")


def check_trajectory(job, folder):
    along, points = ([folder.path(path) for path in job.inputs.values() if path.endswith("trajectory/bounds.json") == kind] for kind in (True, False))
    return check_text(job, folder, trajectory_text(along, points))


def check_heldout(job, folder):
    """The windows are those that the seed draws from the held-out documents, tokenized again where the wheels lie here."""
    (name,) = job.outputs
    ids, tokens, made_of = read_windows(folder.path(name))
    wheels = folder.path(job.inputs["documents"]).parent / "wheels"
    listed = documents.read_list(folder.path(job.inputs["documents"]))
    if not all((wheels / row["wheel"]).is_file() for row in listed if row["split"] == "heldout"):
        return []
    made = tokenizer.read(folder.path(job.inputs["tokenizer"]), made_of["vocab_size"])
    rows = heldout.heldout_rows(listed, wheels, made, job.settings["row_tokens"])
    wanted = heldout.draw(len(rows), job.settings["windows"], job.settings["seed"])
    if not np.array_equal(ids, wanted):
        return [Finding(name, f"the held-out rows of seed {job.settings['seed']}", "other rows")]
    return [] if np.array_equal(tokens, rows[wanted]) else [Finding(name, "tokens of the held-out documents", "other tokens")]


def check_baseline(job, folder):
    (name,) = job.outputs
    wanted = evaluate_baseline({key: folder.path(path) for key, path in job.inputs.items()}, job.settings)
    found = json.loads(folder.path(name).read_text(encoding="utf-8"))
    found.pop("identity")
    problem = first_difference(wanted, found, "")
    return [Finding(name, *problem)] if problem else []


def check_baselines(job, folder):
    kinds = ("bound/bounds.json", "baseline/baseline.json", "certificates.csv")
    return check_text(job, folder, baselines_text(*([folder.path(path) for path in job.inputs.values() if path.endswith(kind)] for kind in kinds)))


CHECKS = {
    "score-trajectory": check_trajectory_scores,
    "bound-trajectory": check_trajectory_bounds,
    "trajectory": check_trajectory,
    "heldout": check_heldout,
    "baseline": check_baseline,
    "baselines": check_baselines,
} | recompute_curvature.CHECKS
