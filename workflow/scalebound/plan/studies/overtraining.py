"""The bound's terms over sizes and tokens, under the laws: results/{family}/overtraining.csv, an extrapolation."""

from scalebound.plan.stages.family import TABLE, table
from scalebound.plan.studies.information import LAWS
from scalebound.plan.study import Study


def rules(plan):
    return [
        table(
            "overtraining",
            "overtraining.csv",
            inputs={"bounds": TABLE, "laws": LAWS, "models": lambda w: plan.config.studies.extrapolation.models},
            settings=lambda w: plan.config.studies.extrapolation.model_dump() | {"quantizer": plan.config.paper_quantizer},
        )
    ]


STUDY = Study(("overtraining.csv",), {"overtraining": "overtraining.csv"}, rules)
