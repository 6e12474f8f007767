"""What the study `baselines` has to make: held-out windows and documents are those of streams that the workflow makes from wheels."""

import json


def slugs_with_documents(plan, family):
    """Rows whose stream's documents are known, some of them held out."""
    known = plan.streams_of_kind("wheels")
    return [slug for (f, slug), row in plan.checkpoints.items() if f == family and row.stream in known]


def bounds_of(plan, family):
    """Bounds by the paper's recipe of every row."""
    return [f"results/{f}/{slug}/quantizers/{plan.config.paper_quantizer}/bound/bounds.json" for f, slug in plan.checkpoints if f == family]


def baselines_of(plan, family):
    return [f"results/{family}/{slug}/baseline/baseline.json" for slug in slugs_with_documents(plan, family)]


def certificates_of(plan, family):
    """The family's table of certificates, where it is part of the run."""
    return [f"results/{family}/certificates.csv"] if "certificates.csv" in plan.tables_of(family) else []


def settings(plan):
    return json.dumps(plan.config.studies.baselines.model_dump(mode="json"), sort_keys=True)


def stream_settings(plan, family, slug):
    """Without the pins of its training rows, none of which is read."""
    return plan.rows_settings(plan.row(family, slug).stream, "none")
