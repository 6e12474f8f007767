"""Bounds along training: every kept checkpoint of a run in one job, at the nominal code length of the paper's quantizer.

results/{family}/{slug}/trajectory/scores.parquet   step, window, row, position, nll and entropy, plain and quantized
results/{family}/{slug}/trajectory/bounds.json      every bound with its terms, step by step: estimates
results/{family}/trajectory.csv                     all of a family; rows that were not trained here are points of it
"""

from scalebound.plan.rule import CHECKPOINT, Rule
from scalebound.plan.stages.checkpoints import ARCHITECTURE, RESOLVED
from scalebound.plan.stages.family import table
from scalebound.plan.stages.quantizers import BOUNDS, papers
from scalebound.plan.stages.training import kept_files
from scalebound.plan.study import Study
from scalebound.scoring.trajectory import steps_of

SCORES, ALONG = f"{CHECKPOINT}/trajectory/scores.parquet", f"{CHECKPOINT}/trajectory/bounds.json"


def rules(plan):
    row = lambda w: plan.row(w.family, w.slug)  # noqa: E731
    return [
        Rule(
            "score_trajectory",
            "score-trajectory",
            inputs={
                "checkpoints": lambda w: f"results/training/{row(w).repo}/checkpoints.json",
                "architecture": ARCHITECTURE,
                "tokens": lambda w: plan.run_rows(row(w).repo, "tokens.bin"),
                "stream": lambda w: plan.run_rows(row(w).repo, "stream.json"),
            },
            needs=lambda w: kept_files(row(w).repo, _steps(plan, row(w))),
            outputs={"out": SCORES},
            record=f"{CHECKPOINT}/trajectory/score.run.json",
            settings=lambda w: _settings(plan, row(w)),
            threads=True,
            gpu=True,
        ),
        Rule(
            "bound_trajectory",
            "bound-trajectory",
            inputs={"model": RESOLVED, "scores": SCORES},
            outputs={"out": ALONG},
            record=f"{CHECKPOINT}/trajectory/bound.run.json",
            settings=lambda w: plan.config.bound.model_dump(),
        ),
        table(
            "trajectory",
            "trajectory.csv",
            inputs={"trajectories": lambda w: bounds_along(plan, w.family), "bounds": lambda w: bounds_of_points(plan, w.family)},
            report=("trajectory", "bounds along training"),
        ),
    ]


def rows_along(plan, family):
    """Trained rows whose kept steps are gone through: of several rows of one run, that of its latest step."""
    latest = {}
    for row in plan.rows_of(family):
        if row.source == "trained" and (row.repo not in latest or row.step > latest[row.repo].step):
            latest[row.repo] = row
    return list(latest.values())


def bounds_along(plan, family):
    """Files with the bounds along training, one for each run."""
    return [ALONG.format(family=family, slug=row.slug) for row in rows_along(plan, family)]


def bounds_of_points(plan, family):
    """Files with the bounds of rows that were not trained here: each is one point of its repository's line."""
    bounds = papers(plan, BOUNDS)
    return [bounds.format(family=family, slug=row.slug) for row in plan.rows_of(family) if row.source != "trained"]


def _steps(plan, row):
    return steps_of(plan.run(row.repo), row.step, plan.config.studies.trajectory.max_points)


def _settings(plan, row):
    config = plan.config
    settings = config.studies.trajectory.model_dump() | {"last_step": row.step, "run": plan.run(row.repo).model_dump(), "scoring": config.scoring.model_dump()}
    return settings | {"quantizer": config.quantizers[config.paper_quantizer].model_dump(mode="json")}


STUDY = Study(("trajectory.csv",), {"trajectory": "trajectory.csv"}, rules)
