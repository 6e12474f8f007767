"""What the bounds are compared with: the loss on held-out documents, and the bound for documents.

results/{family}/{slug}/quantizers/{quantizer}/heldout/scores.parquet   of the decoded model on the held-out rows
results/{family}/{slug}/baseline/baseline.json                          held-out loss, number of documents, their bound
results/{family}/baselines.csv                                          beside the other bounds: estimates, but for certificates

Held-out rows and documents are those of streams that the workflow makes from wheels.
"""

from scalebound.plan.rule import CHECKPOINT, QUANTIZER, Rule
from scalebound.plan.stages.checkpoints import HELDOUT_SCORES, heldout_windows, score, windows_of
from scalebound.plan.stages.family import table
from scalebound.plan.stages.quantizers import BOUNDS, DECODED, QUANTIZED_SCORES, papers
from scalebound.plan.study import Study

HELDOUT_QUANTIZED, BASELINE = f"{QUANTIZER}/heldout/scores.parquet", f"{CHECKPOINT}/baseline/baseline.json"


def rules(plan):
    row = lambda w: plan.row(w.family, w.slug)  # noqa: E731
    return [
        score(plan, "score_heldout_quantized", f"{QUANTIZER}/heldout", DECODED, heldout_windows(plan), "run.json"),
        Rule(
            "baseline",
            "baseline",
            inputs={
                "bounds": papers(plan, BOUNDS),
                "scores": papers(plan, QUANTIZED_SCORES),
                "windows": windows_of("score"),
                "tokens": lambda w: plan.run_rows(row(w).repo, "tokens.bin"),
                "stream": lambda w: plan.run_rows(row(w).repo, "stream.json"),
                "heldout": HELDOUT_SCORES,
                "heldout_quantized": papers(plan, HELDOUT_QUANTIZED),
            },
            outputs={"out": BASELINE},
            record=f"{CHECKPOINT}/baseline/run.json",
            settings=lambda w: plan.config.bound.model_dump(),
        ),
        table(
            "baselines",
            "baselines.csv",
            inputs={
                "bounds": lambda w: plan.files_of(w.family, papers(plan, BOUNDS)),
                "baselines": lambda w: baselines_of(plan, w.family),
                "certificates": lambda w: [f"results/{w.family}/certificates.csv"] if plan.certified_of(w.family) else [],
            },
            report=("baselines", "bounds and held-out losses"),
        ),
    ]


def baselines_of(plan, family):
    """Of the rows whose stream's documents are known, some of them held out."""
    known = plan.streams_of_kind("wheels")
    return [BASELINE.format(family=family, slug=row.slug) for row in plan.rows_of(family) if row.stream in known]


STUDY = Study(("baselines.csv",), {"baselines": "baselines.csv"}, rules)
