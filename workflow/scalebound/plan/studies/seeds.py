"""What of a family's numbers is chance: spreads over models that differ in their seed alone: results/{family}/seeds.csv."""

from scalebound.plan.stages.family import TABLE, table
from scalebound.plan.study import Study


def rules(plan):
    certificates = lambda w: [f"results/{w.family}/certificates.csv"] if plan.certified_of(w.family) else []  # noqa: E731
    of = lambda w: {"quantizer": plan.config.paper_quantizer}  # noqa: E731
    return [table("seeds", "seeds.csv", inputs={"bounds": TABLE, "certificates": certificates}, settings=of, report=("table", "spread over seeds"))]


STUDY = Study(("seeds.csv",), {"seeds": "seeds.csv"}, rules)
