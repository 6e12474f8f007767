"""The gap that follows from the laws: results/{family}/gap_law.csv, measured and predicted, and gap_exponents.csv, gap ~ D^-exponent."""

from scalebound.plan.stages.family import TABLE, table
from scalebound.plan.studies.information import INFORMATION, LAWS
from scalebound.plan.study import Study


def rules(plan):
    return [
        table(
            "gap-law",
            "gap_law.csv",
            inputs={
                "bounds": TABLE,
                "information": INFORMATION,
                "laws": LAWS,
                "models": lambda w: plan.config.studies.extrapolation.models,
                "certificates": lambda w: [f"results/{w.family}/certificates.csv"] if plan.certified_of(w.family) else [],
            },
            settings=lambda w: plan.config.studies.extrapolation.model_dump() | {"quantizer": plan.config.paper_quantizer},
            also={"out_exponents": "gap_exponents.csv"},
            report=("gap_exponents", "exponents of the gap"),
        )
    ]


STUDY = Study(("gap_law.csv", "gap_exponents.csv"), {"gap_law": "gap_law.csv"}, rules)
