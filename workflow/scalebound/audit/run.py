"""The whole audit of a results folder."""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from scalebound.artifacts.provenance import read_json
from scalebound.audit import chain
from scalebound.audit.checks import CHECKS
from scalebound.audit.findings import Finding
from scalebound.audit.recompute import is_pure, recompute
from scalebound.errors import InputError
from scalebound.hub.shared_weights import shared_weights
from scalebound.plan.plan import Plan, hub_file
from scalebound.plan.studies import STUDIES
from scalebound.progress import progress


@dataclass
class Audit:
    """What was looked at and what was found; `manifest` holds (path, stage, bytes, sha256, code) of every artifact."""

    families: list
    findings: list = field(default_factory=list)
    older: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    manifest: list = field(default_factory=list)
    recomputed: int = 0


def audit(results, workers=None, numbers=True):
    """Audit every family under `results`, whatever the folder's name; without `numbers`, hashes and identities only.

    Raises:
        InputError: there is no results folder or no family in it.
    """
    # a link is not followed: what the run read beside its results lies beside the link
    results = Path(os.path.abspath(results))
    if not results.is_dir():
        raise InputError(results, "no such folder", "Give the results folder of a run")
    folder, plans = chain.Folder(results.parent, results), {}
    outcome = Audit(families=[])
    for saved in sorted(results.glob("*/config.json")):
        family = saved.parent.name
        outcome.families.append(family)
        try:
            plans[family] = Plan.from_results(saved)
        except InputError as error:
            name = f"results/{family}/config.json"
            outcome.findings.append(Finding(name, "the configuration of the run", f"{error.where}: {error.found}"))
    if not outcome.families:
        raise InputError(results, "no family with a config.json", "Run snakemake first")
    jobs = [job for family, plan in plans.items() for job in plan.jobs_of(family, *_studies_made(folder, family))]
    jobs = list({job.record: job for job in jobs}.values())
    check_chain(jobs, folder, outcome)
    for family, plan in plans.items():
        outcome.findings += weights_of_another_step(plan, family, folder)
    if len(plans) == len(outcome.families):
        outcome.findings += chain.orphans(jobs, folder)
    if numbers:
        check_numbers(jobs, folder, outcome, workers or os.cpu_count() or 1)
    outcome.findings = sorted(set(outcome.findings))
    outcome.notes += [f"{name}: left by the system, no result depends on it" for name in folder.below[1]]
    return outcome


def summary(outcome):
    """{what: text} of an audit, as printed and as shown on the page."""
    total = sum(size for _, _, size, _, _ in outcome.manifest)
    return {
        "families": ", ".join(outcome.families),
        "artifacts": f"{len(outcome.manifest)} files, {total / 1e6:.1f} MB, hashes and recorded inputs checked",
        "numbers": f"{outcome.recomputed} jobs computed again from their inputs" if outcome.recomputed else "not computed again",
        "code": f"{len(outcome.older)} artifacts made by older code" if outcome.older else "every artifact made by the current code",
        "problems": str(len(outcome.findings)),
    }


def _studies_made(folder, family):
    """Studies that were asked for by name: one of their figures lies there. Tables tell less, for studies read those of others."""
    return [name for name, study in STUDIES.items() if any(folder.exists(f"results/{family}/figures/{figure}.png") for figure in study.figures)]


def weights_of_another_step(plan, family, folder):
    """A finding for each two released checkpoints of a family, references among them, that hold one weight file under different steps."""
    names = {row.slug: hub_file(row) for row in plan.released_of(family)}
    try:
        located = {slug: read_json(folder.path(name), "resolve-hub")["hub"] for slug, name in names.items() if folder.exists(name)}
        shared = shared_weights(located, plan.config.hub.known_equal)
    except (InputError, AttributeError, KeyError, TypeError):
        # a damaged file is a finding of its own job
        return []
    repair = "one of the two is a wrong upload: name another step or repository"
    return [Finding(names[other], "weights of its own step", f"{digest}, also in {names[one]}", repair) for one, other, digest in shared]


def check_chain(jobs, folder, outcome):
    """Add to an `Audit` what is wrong with hashes and identities of the jobs' files, and their lines of the manifest."""
    with progress(len(jobs), "jobs", "audit: hashes and identities") as bar:
        for job in jobs:
            findings, older = chain.check_job(job, folder)
            outcome.findings += findings
            outcome.older += older
            for name in job.outputs:
                if folder.exists(name):
                    code = "older" if job.outputs[name] in older else "current"
                    outcome.manifest.append((name, job.stage, folder.path(name).stat().st_size, folder.sha256(name), code))
            bar.update(1)


def check_numbers(jobs, folder, outcome, workers):
    """Check and recompute what rests on files that are all there; a number from altered files is a finding in its own right."""
    complete = [job for job in jobs if all(map(folder.exists, job.outputs)) and all(map(folder.exists, _inside(job)))]
    for job in complete:
        if job.stage in CHECKS:
            outcome.findings += _guarded(CHECKS[job.stage], job, folder)[0]
            outcome.recomputed += 1
    pure = [job for job in complete if is_pure(job.stage)]
    with ProcessPoolExecutor(workers) as pool, progress(len(pure), "numbers", "audit: computed again") as bar:
        for findings, note, computed in pool.map(_again, pure, [folder] * len(pure)):
            outcome.findings += findings
            outcome.notes += [note] if note else []
            outcome.recomputed += computed
            bar.update(1)


def _inside(job):
    """Inputs that are results: tables of the configuration and local weights may lie elsewhere by now."""
    return [path for path in job.inputs.values() if path.startswith("results/")]


def _again(job, folder):
    return _guarded(recompute, job, folder)


def _guarded(check, job, folder):
    try:
        found = check(job, folder)
        return found if isinstance(found, tuple) else (found, None, True)
    except Exception as error:  # a damaged file may make any reader fail: that is the finding
        return [Finding(next(iter(job.outputs)), "numbers that can be computed again", f"{type(error).__name__}: {str(error)[:200]}")], None, False
