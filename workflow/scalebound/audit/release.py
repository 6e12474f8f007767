"""A finished run as one archive to cite: what a reader looks at and what certificates rest on, described as an RO-Crate.

Whatever is in it was audited just before, or is made here from what was. What is large and made by machines for machines stays
out: checkpoints, rows, downloads, scores of estimates. The manifest and the crate name each of these with its digest, so that a
run elsewhere can be compared with this one.
"""

import tempfile
from pathlib import Path, PurePosixPath

from scalebound.artifacts import archive, atomic
from scalebound.audit.archive_readme import readme_text
from scalebound.audit.crate import METADATA, Layout, copy_workflow, describe
from scalebound.audit.manifest import manifest_text
from scalebound.audit.page.page import write_page
from scalebound.audit.records import families, is_family_file, read_jobs
from scalebound.audit.run import audit, summary
from scalebound.errors import InputError

KEPT = (".json", ".csv", ".tsv", ".png", ".pdf")
# of a checkpoint or a decoded model: without the weights beside it, it is none
MODEL = "config.json"
RESULTS = "results/"  # as every identity and record in it calls them
BESIDE = {
    f"{RESULTS}manifest.tsv": "Every artifact of the run with its digest, those that are not in this archive too",
    f"{RESULTS}audit.html": "From each number to the files that it follows from",
}


def default_name(results):
    return f"scalebound-{'-'.join(families(results))}{archive.ENDING}"


def write(results, out):
    """Audit `results` and write the archive `out`; returns {name in it: sha256}.

    Raises:
        InputError: the audit finds something, a record leaves a file unexplained, or the package lies outside of its workflow.
    """
    outcome = audit(results)
    if outcome.findings:
        found = f"{len(outcome.findings)} problems in the audit, so no archive was made"
        raise InputError(results, found, f"`scalebound audit {results}` names each file and its repair")
    results = Path(results)
    jobs = read_jobs(results, results / "crate")
    holds = kept_of(jobs)
    with tempfile.TemporaryDirectory(prefix="scalebound-") as temporary:
        root = Path(temporary)
        copied = copy_workflow(root)
        _write_beside(root, results, outcome, jobs, holds)
        metadata = describe(results, jobs, root, copied, Layout(RESULTS, "", holds, BESIDE))
        atomic.write_json(root / METADATA, metadata)
        kept = sorted({path for job in jobs for path in (*job.outputs, job.path) if holds(path)})
        files = {name: root / name for name in (*copied, *BESIDE, METADATA)} | {f"{RESULTS}{path}": results / path for path in kept}
        return archive.write(out, files)


def kept_of(jobs):
    """The function that tells of a path in the results whether it goes into the archive."""
    certified = {PurePosixPath(path).parent for job in jobs if job.stage == "certify" for path in job.outputs}

    def holds(path):
        place = PurePosixPath(path)
        # what a job said is for those at its machine
        if place.suffix == ".log":
            return False
        return place.parent in certified or (place.suffix in KEPT and (place.name != MODEL or is_family_file(path)))

    return holds


def _write_beside(root, results, outcome, jobs, holds):
    atomic.write_bytes(root / RESULTS / "manifest.tsv", manifest_text(outcome.manifest).encode())
    # by way of a link, for the page shows what the folder is called
    link = root / "named/results"
    link.parent.mkdir()
    link.symlink_to(results.resolve(), target_is_directory=True)
    # how many numbers were computed again depends on what lies beside the results, such as tables of published values
    said = {key: text for key, text in summary(outcome).items() if key != "numbers"}
    write_page(link, root / RESULTS / "audit.html", outcome.findings, said)
    # in the place of the project's, whose links lead to pages that are not in here
    atomic.write_bytes(root / "README.md", readme_text(results, jobs, len(outcome.older), holds, default_name(results)).encode())
