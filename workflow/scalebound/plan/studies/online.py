"""The online bound where it comes from and where it goes.

results/{family}/along_stream.csv   its terms by parts of the stream, and bounds over all positions from a share of it on
results/{family}/online_law.csv     what published laws predict of it for published models: a prediction
"""

from scalebound.plan.stages.checkpoints import SCORES, windows_of
from scalebound.plan.stages.family import table
from scalebound.plan.stages.quantizers import BOUNDS, QUANTIZED_SCORES
from scalebound.plan.study import Study


def rules(plan):
    return [
        table(
            "along-stream",
            "along_stream.csv",
            inputs={name: _of_rows(plan, path) for name, path in _FILES.items()},
            settings=lambda w: plan.config.bound.model_dump() | {"shares": plan.config.studies.online.shares},
        ),
        table(
            "online-law",
            "online_law.csv",
            inputs={
                "models": lambda w: plan.config.studies.extrapolation.models,
                "published": lambda w: sorted(set(plan.config.published.values()) or {"config/published.tsv"}),
            },
            settings=lambda w: plan.config.studies.extrapolation.model_dump() | plan.config.studies.online.model_dump(),
        ),
    ]


_FILES = {"bounds": BOUNDS, "windows": windows_of("score"), "plain": SCORES, "scores": QUANTIZED_SCORES}


def _of_rows(plan, path):
    """Files of the rows that have references, by the quantizer that is certified or else, where there is none, the paper's."""
    best = plan.config.certificate.quantizer or plan.config.paper_quantizer
    of = lambda row: best if best in plan.quantizers_of_row(row) else plan.config.paper_quantizer  # noqa: E731
    return lambda w: [path.format(family=w.family, slug=row.slug, quantizer=of(row)) for row in plan.rows_of(w.family) if plan.history_of(row)]


STUDY = Study(("along_stream.csv", "online_law.csv"), {"along_stream": "along_stream.csv", "online_law": "online_law.csv"}, rules)
