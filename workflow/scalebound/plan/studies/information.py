"""Information content of the family's models, and scaling laws fitted to their losses; all of it estimates.

results/{family}/loss_curves.csv     loss and prequential information at places along training
results/{family}/scaling_law.csv     Chinchilla's law fitted to them, beside published constants
results/{family}/information.csv     bits per parameter and per token; bounds with the information as code length
"""

from scalebound.plan.rule import FAMILY
from scalebound.plan.stages.checkpoints import SCORES
from scalebound.plan.stages.family import TABLE, table
from scalebound.plan.study import Study

CURVES, LAWS, INFORMATION = f"{FAMILY}/loss_curves.csv", f"{FAMILY}/scaling_law.csv", f"{FAMILY}/information.csv"


def rules(plan):
    return [
        table(
            "loss-curves",
            "loss_curves.csv",
            name="loss_curves",
            inputs={
                "bounds": TABLE,
                "trajectory": f"{FAMILY}/trajectory.csv",
                "losses": lambda w: [f"results/training/{run}/loss.parquet" for run in plan.runs_of(w.family)],
            },
            settings=lambda w: {"lines": _lines(plan, w.family), "recorded": plan.runs_of(w.family)},
        ),
        table(
            "scaling-law",
            "scaling_law.csv",
            name="scaling_law",
            inputs={"curves": CURVES},
            settings=lambda w: plan.config.studies.information.model_dump(),
            report=("scaling_law", "scaling laws"),
        ),
        table(
            "information",
            "information.csv",
            inputs={"curves": CURVES, "laws": LAWS, "scores": lambda w: plan.files_of(w.family, SCORES)},
            settings=lambda w: plan.config.bound.model_dump() | {"checkpoints": [row.slug for row in plan.rows_of(w.family)]},
        ),
    ]


def _lines(plan, family):
    """{line: its checkpoints}: a training run or a repository is one model, seen at several steps."""
    lines = {}
    for row in plan.rows_of(family):
        lines.setdefault(row.repo, []).append(row.slug)
    return lines


STUDY = Study(("information.csv", "loss_curves.csv", "scaling_law.csv"), {"information": "information.csv", "scaling_law": "information.csv"}, rules)
