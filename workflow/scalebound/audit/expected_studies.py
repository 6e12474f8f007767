"""The jobs of the studies: what must lie under results/ where one is part of the run or has been asked for.

Each function takes the plan, the family and its rows, and returns the jobs without those of the figures.
"""

from scalebound.audit.job import Job


def table_job(family, stage, table, inputs, settings=None):
    """The job of a table of the family, with its identity beside it."""
    base = f"results/{family}/{table.removesuffix('.csv')}"
    out, named = f"{base}.csv", f"{base}.identity.json"
    return Job(stage, f"{base}.run.json", f"{base}.log", {out: named, named: named}, inputs, settings or {}, {named: [out]})


def _quantizability_jobs(plan, family, _):
    return [table_job(family, "quantizability", "quantizability.csv", {"table": f"results/{family}/bounds.csv"}, {"methods": plan.nominal_methods()})]


def _curvature_jobs(plan, family, rows):
    folders = [f"results/{family}/{row.slug}" for row in rows]
    models = {path: path for path in (f"{folder}/resolve/resolved.json" for folder in folders)}
    spectra = {path: path for path in (f"{folder}/curvature/spectra.parquet" for folder in folders)}
    hessians = {path: path for path in (f"{folder}/curvature/hessian.json" for folder in folders)}
    return [
        *(job for folder in folders for job in _checkpoint_curvature_jobs(plan, folder)),
        table_job(family, "spectra", "spectra.csv", models | spectra),
        table_job(family, "hessian-summary", "hessian.csv", hessians),
        table_job(family, "hessian-nodes", "hessian_nodes.csv", hessians),
    ]


def _checkpoint_curvature_jobs(plan, checkpoint):
    folder = f"{checkpoint}/curvature"
    inputs = {"model": f"{checkpoint}/resolve/resolved.json", "calibration": f"{checkpoint}/sample/calibration/windows.parquet"}
    spectra, hessian = f"{folder}/spectra.parquet", f"{folder}/hessian.json"
    settings = plan.config.studies.hessian.model_dump()
    return [
        Job("moments", f"{folder}/moments.run.json", f"{folder}/moments.log", {spectra: spectra}, inputs),
        Job("hessian", f"{folder}/hessian.run.json", f"{folder}/hessian.log", {hessian: hessian}, inputs, settings),
    ]


STUDY_JOBS = {"quantizability": _quantizability_jobs, "curvature": _curvature_jobs}
