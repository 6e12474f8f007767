"""The jobs of the studies: what must lie under results/ where one is part of the run or has been asked for.

Each function takes the plan, the family and its rows, and returns the jobs without those of the figures.
"""

from dataclasses import replace

from scalebound.audit.job import Job
from scalebound.plan import plan_baselines, plan_trajectory


def table_job(family, stage, table, inputs, settings=None):
    """The job of a table of the family, with its identity beside it."""
    base = f"results/{family}/{table.removesuffix('.csv')}"
    out, named = f"{base}.csv", f"{base}.identity.json"
    return Job(stage, f"{base}.run.json", f"{base}.log", {out: named, named: named}, inputs, settings or {}, {named: [out]})


def _information_jobs(plan, family, rows):
    folder, settings = f"results/{family}", plan.config.studies.information.model_dump()
    losses = [f"results/training/{run}/loss.parquet" for run in plan.runs_of(family)]
    curves, laws = f"{folder}/loss_curves.csv", f"{folder}/scaling_law.csv"
    scores = {row.slug: f"{folder}/{row.slug}/score/scores.parquet" for row in rows}
    inputs = {"bounds": f"{folder}/bounds.csv", "trajectory": f"{folder}/trajectory.csv"} | {path: path for path in losses}
    return [
        *_trajectory_jobs(plan, family, rows),
        table_job(family, "loss-curves", "loss_curves.csv", inputs, {"rows": plan.curve_rows(family)}),
        table_job(family, "scaling-law", "scaling_law.csv", {"curves": curves}, settings),
        table_job(family, "information", "information.csv", {"curves": curves, "laws": laws, **scores}, plan.config.bound.model_dump()),
    ]


def _gap_law_jobs(plan, family, rows):
    folder, settings = f"results/{family}", plan.config.studies.extrapolation.model_dump() | {"quantizer": plan.config.paper_quantizer}
    inputs = {name: f"{folder}/{file}.csv" for name, file in (("bounds", "bounds"), ("information", "information"), ("laws", "scaling_law"))}
    inputs |= {"models": plan.config.studies.extrapolation.models}
    inputs |= {"certificates": f"{folder}/certificates.csv"} if plan.config.certificate.quantizer else {}
    job = table_job(family, "gap-law", "gap_law.csv", inputs, settings)
    out, named = f"{folder}/gap_exponents.csv", f"{folder}/gap_exponents.identity.json"
    both = replace(job, outputs=job.outputs | {out: named, named: named}, files=job.files | {named: [out]})
    return [*_information_jobs(plan, family, rows), both]


def _ablations_jobs(plan, family, rows):
    jobs, quantizer = [], plan.config.paper_quantizer
    settings = plan.config.studies.ablations.model_dump() | {"bound": plan.config.bound.model_dump()}
    for row in rows:
        checkpoint = f"results/{family}/{row.slug}"
        folder, source = f"{checkpoint}/ablations", f"{checkpoint}/quantizers/{quantizer}"
        references, out = f"{folder}/references.parquet", f"{folder}/ablations.json"
        bounds, windows = f"{source}/bound/bounds.json", f"{checkpoint}/sample/score/windows.parquet"
        made = {"model": f"{source}/decode/decoded.json", "windows": windows, "bounds": bounds}
        scoring = plan.config.scoring.model_dump()
        jobs.append(Job("references", f"{folder}/references.run.json", f"{folder}/references.log", {references: references}, made, scoring))
        scores = {"scores": f"{checkpoint}/score/scores.parquet", "quantized_scores": f"{source}/score/scores.parquet"}
        inputs = {"bounds": bounds, **scores, "references": references}
        jobs.append(Job("ablate", f"{folder}/run.json", f"{folder}/ablate.log", {out: out}, inputs, settings))
    made = [f"results/{family}/{row.slug}/ablations/ablations.json" for row in rows]
    return [*jobs, table_job(family, "ablations", "ablations.csv", {path: path for path in made})]


def _overtraining_jobs(plan, family, rows):
    folder, settings = f"results/{family}", plan.config.studies.extrapolation.model_dump() | {"quantizer": plan.config.paper_quantizer}
    inputs = {"bounds": f"{folder}/bounds.csv", "laws": f"{folder}/scaling_law.csv", "models": plan.config.studies.extrapolation.models}
    *needed, _ = _information_jobs(plan, family, rows)
    return [*needed, table_job(family, "overtraining", "overtraining.csv", inputs, settings)]


def _trajectory_jobs(plan, family, rows):
    jobs = [job for row in plan_trajectory.runs_of(plan, family).values() for job in _trajectory_of(plan, row)]
    inputs = [*plan_trajectory.bounds_along(plan, family), *plan_trajectory.bounds_of_points(plan, family)]
    return [*jobs, table_job(family, "trajectory", "trajectory.csv", {path: path for path in inputs})]


def _trajectory_of(plan, row):
    """The scores of every kept step of a row's run, and the bounds from them."""
    checkpoint, run = f"results/{row.family}/{row.slug}", plan.config.training[row.repo]
    folder = f"{checkpoint}/trajectory"
    scores, bounds = f"{folder}/scores.parquet", f"{folder}/bounds.json"
    inputs = {"checkpoints": f"results/training/{row.repo}/checkpoints.json", "architecture": f"{checkpoint}/resolve/architecture.json"}
    inputs |= {name: plan.run_rows(row.repo, file) for name, file in (("tokens", "tokens.bin"), ("stream", "stream.json"))}
    settings = plan.config.studies.trajectory.model_dump() | {"last_step": row.step, "run": run.model_dump(), "scoring": plan.config.scoring.model_dump()}
    settings |= {"quantizer": plan.config.quantizers[plan.config.paper_quantizer].model_dump(mode="json")}
    made_from = {"model": f"{checkpoint}/resolve/resolved.json", "scores": scores}
    return [
        Job("score-trajectory", f"{folder}/score.run.json", f"{folder}/score.log", {scores: scores}, inputs, settings),
        Job("bound-trajectory", f"{folder}/bound.run.json", f"{folder}/bound.log", {bounds: bounds}, made_from, plan.config.bound.model_dump()),
    ]


def _baselines_jobs(plan, family, rows):
    known = plan_baselines.slugs_with_documents(plan, family)
    inputs = [*plan_baselines.bounds_of(plan, family), *plan_baselines.baselines_of(plan, family), *plan_baselines.certificates_of(plan, family)]
    jobs = [job for row in rows if row.slug in known for job in _baseline_of(plan, row)]
    return [*jobs, table_job(family, "baselines", "baselines.csv", {path: path for path in inputs})]


def _baseline_of(plan, row):
    """Held-out windows, the scores of both models on them, and what follows."""
    checkpoint, stream = f"results/{row.family}/{row.slug}", f"results/streams/{row.stream}"
    quantized = f"{checkpoint}/quantizers/{plan.config.paper_quantizer}"
    windows, baseline = f"{checkpoint}/heldout/windows.parquet", f"{checkpoint}/baseline/baseline.json"
    settings = plan.config.studies.baselines.model_dump() | {"row_tokens": plan.config.streams[row.stream].row_tokens}
    documents = {"documents": f"{stream}/documents.parquet", "tokenizer": f"{stream}/tokenizer.json"}
    inputs = {"bounds": f"{quantized}/bound/bounds.json", "scores": f"{quantized}/score/scores.parquet"}
    inputs |= {"windows": f"{checkpoint}/sample/score/windows.parquet", "heldout": f"{checkpoint}/heldout/scores.parquet"}
    inputs |= {"heldout_quantized": f"{quantized}/heldout/scores.parquet"}
    inputs |= {name: plan.run_rows(row.repo, file) for name, file in (("tokens", "tokens.bin"), ("stream", "stream.json"))}
    return [
        Job("heldout", f"{checkpoint}/heldout/run.json", f"{checkpoint}/heldout/heldout.log", {windows: windows}, documents, settings),
        _heldout_scores(plan, f"{checkpoint}/heldout", f"{checkpoint}/resolve/resolved.json", windows),
        _heldout_scores(plan, f"{quantized}/heldout", f"{quantized}/decode/decoded.json", windows),
        Job("baseline", f"{checkpoint}/baseline/run.json", f"{checkpoint}/baseline/baseline.log", {baseline: baseline}, inputs, plan.config.bound.model_dump()),
    ]


def _heldout_scores(plan, folder, model, windows):
    scores = f"{folder}/scores.parquet"
    return Job(
        "score", f"{folder}/score.run.json", f"{folder}/score.log", {scores: scores}, {"model": model, "windows": windows}, plan.config.scoring.model_dump()
    )


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


STUDY_JOBS = {
    "information": _information_jobs,
    "gap_law": _gap_law_jobs,
    "ablations": _ablations_jobs,
    "trajectory": _trajectory_jobs,
    "baselines": _baselines_jobs,
    "overtraining": _overtraining_jobs,
    "quantizability": _quantizability_jobs,
    "curvature": _curvature_jobs,
}
