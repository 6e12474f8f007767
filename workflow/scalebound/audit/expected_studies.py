"""The jobs of the studies: what must lie under results/ where one is part of the run or has been asked for.

Each function takes the plan, the family and its rows, and returns the jobs without those of the figures.
"""

from scalebound.audit.job import Job

STUDY_JOBS = {}


def table_job(family, stage, table, inputs, settings=None):
    """The job of a table of the family, with its identity beside it."""
    base = f"results/{family}/{table.removesuffix('.csv')}"
    out, named = f"{base}.csv", f"{base}.identity.json"
    return Job(stage, f"{base}.run.json", f"{base}.log", {out: named, named: named}, inputs, settings or {}, {named: [out]})
