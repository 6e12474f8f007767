"""What the bounds are compared with: the loss on held-out documents, and the bound for documents.

results/{family}/{slug}/heldout/windows.parquet                         rows of the held-out documents
results/{family}/{slug}/heldout/scores.parquet                          of the checkpoint on these
results/{family}/{slug}/quantizers/{quantizer}/heldout/scores.parquet   of the decoded model
results/{family}/{slug}/baseline/baseline.json                          held-out loss, number of documents, their bound
results/{family}/baselines.csv                                          beside the other bounds: estimates, but for certificates

Held-out windows and documents are those of streams that the workflow makes from wheels.
"""

from scalebound.plan.rule import CHECKPOINT, QUANTIZER, Rule, as_json
from scalebound.plan.stages.checkpoints import RESOLVED, score, windows_of
from scalebound.plan.stages.corpus import rows_settings, wheel_files, wheel_folder
from scalebound.plan.stages.family import table
from scalebound.plan.stages.quantizers import BOUNDS, DECODED, QUANTIZED_SCORES, papers
from scalebound.plan.study import Study

WINDOWS, BASELINE = f"{CHECKPOINT}/heldout/windows.parquet", f"{CHECKPOINT}/baseline/baseline.json"


def rules(plan):
    row = lambda w: plan.row(w.family, w.slug)  # noqa: E731
    stream = lambda w: plan.stream_of(row(w))  # noqa: E731
    return [
        Rule(
            "heldout",
            "heldout",
            inputs={name: (lambda w, file=file: f"results/streams/{row(w).stream}/{file}") for name, file in _DOCUMENTS.items()},
            needs=lambda w: wheel_files(row(w).stream, stream(w)),
            outputs={"out": WINDOWS},
            record=f"{CHECKPOINT}/heldout/run.json",
            settings=lambda w: plan.config.studies.baselines.model_dump(),
            recorded=lambda w: plan.config.studies.baselines.model_dump() | {"row_tokens": stream(w).row_tokens},
            # without the pins of its training rows, none of which is read
            options=lambda w: {"stream_settings": as_json(rows_settings(stream(w), "none")), "wheels": wheel_folder(row(w).stream)},
        ),
        score(plan, "score_heldout", f"{CHECKPOINT}/heldout", RESOLVED, WINDOWS),
        score(plan, "score_heldout_quantized", f"{QUANTIZER}/heldout", DECODED, WINDOWS),
        Rule(
            "baseline",
            "baseline",
            inputs={
                "bounds": papers(plan, BOUNDS),
                "scores": papers(plan, QUANTIZED_SCORES),
                "windows": windows_of("score"),
                "tokens": lambda w: plan.run_rows(row(w).repo, "tokens.bin"),
                "stream": lambda w: plan.run_rows(row(w).repo, "stream.json"),
                "heldout": f"{CHECKPOINT}/heldout/scores.parquet",
                "heldout_quantized": papers(plan, f"{QUANTIZER}/heldout/scores.parquet"),
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
                "certificates": lambda w: [f"results/{w.family}/certificates.csv"] if plan.certified else [],
            },
            report=("baselines", "bounds and held-out losses"),
        ),
    ]


_DOCUMENTS = {"documents": "documents.parquet", "tokenizer": "tokenizer.json"}


def baselines_of(plan, family):
    """Of the rows whose stream's documents are known, some of them held out."""
    known = plan.streams_of_kind("wheels")
    return [BASELINE.format(family=family, slug=row.slug) for row in plan.rows_of(family) if row.stream in known]


STUDY = Study(("baselines.csv",), {"baselines": "baselines.csv"}, rules)
