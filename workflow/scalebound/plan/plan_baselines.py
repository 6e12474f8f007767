"""What the study `baselines` has to make: held-out windows and documents are those of streams that the workflow makes from wheels."""


def slugs_with_documents(plan, family):
    """Rows whose stream's documents are known, some of them held out."""
    known = plan.streams_of_kind("wheels")
    return [row.slug for row in plan.rows_of(family) if row.stream in known]


def bounds_of(plan, family):
    """Bounds by the paper's recipe of every row."""
    return [f"results/{family}/{row.slug}/quantizers/{plan.config.paper_quantizer}/bound/bounds.json" for row in plan.rows_of(family)]


def baselines_of(plan, family):
    return [f"results/{family}/{slug}/baseline/baseline.json" for slug in slugs_with_documents(plan, family)]


def certificates_of(plan, family):
    """The family's table of certificates, where it is part of the run."""
    return [f"results/{family}/certificates.csv"] if "certificates.csv" in plan.tables_of(family) else []


def stream_settings(plan, family, slug):
    """Without the pins of its training rows, none of which is read."""
    return plan.rows_settings(plan.row(family, slug).stream, "none")
