"""The paper's bound with one choice changed at a time: |K|, the reference Y, the smoothing weight, the failure probability, m.

results/{family}/{slug}/ablations/references.parquet   window, position, under_model, under_smoothed (nats)
results/{family}/{slug}/ablations/ablations.json       every variant: an estimate
results/{family}/ablations.csv
"""

from scalebound.plan.rule import CHECKPOINT, Rule
from scalebound.plan.stages.checkpoints import SCORES, windows_of
from scalebound.plan.stages.family import table
from scalebound.plan.stages.quantizers import BOUNDS, DECODED, QUANTIZED_SCORES, papers
from scalebound.plan.study import Study

REFERENCES, ABLATIONS = f"{CHECKPOINT}/ablations/references.parquet", f"{CHECKPOINT}/ablations/ablations.json"


def rules(plan):
    return [
        Rule(
            "references",
            "references",
            inputs={"model": papers(plan, DECODED), "windows": windows_of("score"), "bounds": papers(plan, BOUNDS)},
            outputs={"out": REFERENCES},
            record=f"{CHECKPOINT}/ablations/references.run.json",
            settings=lambda w: plan.config.scoring.model_dump(),
            threads=True,
            gpu=True,
        ),
        Rule(
            "ablate",
            "ablate",
            inputs={"bounds": papers(plan, BOUNDS), "scores": SCORES, "quantized_scores": papers(plan, QUANTIZED_SCORES), "references": REFERENCES},
            outputs={"out": ABLATIONS},
            record=f"{CHECKPOINT}/ablations/run.json",
            settings=lambda w: plan.config.studies.ablations.model_dump() | {"bound": plan.config.bound.model_dump()},
        ),
        table("ablations", "ablations.csv", inputs={"ablations": lambda w: plan.files_of(w.family, ABLATIONS)}),
    ]


STUDY = Study(("ablations.csv",), {"ablations": "ablations.csv"}, rules)
