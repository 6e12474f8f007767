"""Keep what README and docs quote of finished runs: `make docs-results`, or `python docs/making/results.py RESULTS FAMILY ...`.

For each family, docs/results/<family>/ is made anew: its tables, the figures that a page shows, `costs.csv` with what each stage
took, and `provenance.json` with commits, days, packages, and the digest of every file kept. The run is read by its records,
which name what each job made: a table that was edited since is refused.
"""

import argparse
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
from pages import KEPT, pages

from scalebound.artifacts import atomic
from scalebound.artifacts.provenance import describe_files
from scalebound.artifacts.run_records import Cost, add_up
from scalebound.audit.records import families, read_jobs
from scalebound.errors import InputError

FIGURE = re.compile(r"\]\((?:docs/)?results/([^/)]+)/figures/([^/)]+\.png)\)")
DEFAULT = ("config.json", "bounds.csv", "certificates.csv")  # what the default run ends in, with the figures of these tables


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", help="results folder of the finished run")
    parser.add_argument("families", nargs="*", help="the families to keep; default: those kept already, as far as the run has them")
    arguments = parser.parse_args()
    try:
        jobs = read_jobs(arguments.results, Path(arguments.results) / "crate")
        for family in arguments.families or sorted(set(families(arguments.results)) & {path.name for path in KEPT.glob("*")}):
            print(f"docs/results/{family}: {keep(Path(arguments.results), family, jobs)} files")
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def keep(results, family, jobs):
    """Make docs/results/<family>/ of the family in `results`, whose jobs are among `jobs`; returns the number of files kept."""
    made = {path: job for job in jobs for path in job.outputs}
    wanted = [path for path in made if path.startswith(f"{family}/")]
    if not wanted:
        raise InputError(results, f"no family {family!r}", f"It has {', '.join(families(results))}")
    behind, default = _behind(wanted, made), _behind(_default_files(family, made), made)
    tables = sorted(path for path in wanted if path.count("/") == 1 and path.endswith(".csv"))
    figures = [f"{family}/figures/{name}" for name in shown_figures(family)]
    missing = [path for path in figures if path not in made]
    if missing:
        raise InputError(results / missing[0], "a page shows it, the run has not made it", "Run its study first: snakemake all STUDY")
    made_by, folder = provenance(behind.values()), KEPT / family
    shutil.rmtree(folder, ignore_errors=True)
    for path in (*tables, *figures):
        atomic.write_bytes(KEPT / path, (results / path).read_bytes())
    costs(behind.values(), default).to_csv(folder / "costs.csv", index=False, lineterminator="\n")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    atomic.write_json(folder / "provenance.json", {"family": family, **made_by, "files": describe_files(folder, names)})
    return len(names) + 1


def shown_figures(family):
    """Names of the figures of the family that pages show."""
    return sorted({name for page in pages() for found, name in FIGURE.findall(page.read_text(encoding="utf-8")) if found == family})


def costs(jobs, default):
    """A line a stage, in the order of the first start: jobs, CPU and wall time, the largest memory; `part` tells the default run from the studies."""
    found = add_up((("default" if job.path in default else "studies", job.stage), Cost.of(job.record, job.path)) for job in jobs)
    lines = [
        {"part": part, "stage": stage, "jobs": cost.jobs, "cpu_s": cost.cpu_s, "wall_s": cost.wall_s, "peak_rss_mb": cost.peak_rss_bytes / 1e6}
        for (part, stage), cost in found.items()
    ]
    return pd.DataFrame(lines).sort_values("part", kind="stable").round(1)


def provenance(jobs):
    """What made the family: {commit: jobs}, whether all were of unedited checkouts, first and last day, versions."""
    states = [job.record["git"] for job in jobs]
    if any(state["commit"] is None for state in states):
        raise InputError("run records", "jobs of no git checkout", "Run it in a clone of the repository: a kept table names the commit that made it")
    packages = {(name, version) for job in jobs for name, version in job.identity["packages"].items()}
    return {
        "commits": dict(Counter(state["commit"] for state in states)),
        "clean": all(state["clean"] for state in states),
        "from": min(job.started for job in jobs).date().isoformat(),
        "to": max(job.ended for job in jobs).date().isoformat(),
        "python": sorted({job.identity["python"] for job in jobs}),
        "packages": {name: sorted(version for other, version in packages if other == name) for name, _ in sorted(packages)},
    }


def _default_files(family, made):
    tables = {f"{family}/{name}" for name in DEFAULT} & set(made)
    return [*tables, *(path for path, job in made.items() if job.stage == "figures" and set(job.inputs) <= tables)]


def _behind(paths, made):
    """{path of the record: job} of those that made the given files, those that made their inputs, and so on."""
    jobs, todo = {}, list(paths)
    while todo:
        job = made[todo.pop()]
        if job.path not in jobs:
            jobs[job.path] = job
            todo += job.inputs
    return jobs


if __name__ == "__main__":
    sys.exit(main())
