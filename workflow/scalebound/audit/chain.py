"""Hashes, identities and completeness: is every artifact the one that its job made, from the inputs that lie there?"""

import functools
from fnmatch import fnmatchcase
from pathlib import Path

from scalebound.artifacts.atomic import is_temporary
from scalebound.artifacts.code_digest import stage_digest
from scalebound.artifacts.provenance import check_keys, file_sha256, parse_json, read_json, record_digest
from scalebound.artifacts.system_files import files_below
from scalebound.audit.findings import REMAKE, Finding
from scalebound.audit.identities import read_identity
from scalebound.errors import InputError

# what may lie under results/ without being a job's artifact
BY_PRODUCTS = (
    "results/manifest.tsv",
    "results/audit.html",
    "results/audit.log",
    "results/paper-plan.log",
    "results/why.log",
    "results/report.html",
    "results/release.log",
    "results/.gitkeep",
)
BY_PRODUCT_FOLDERS = ("results/crate/",)
_ARCHIVES = "results/scalebound-*.zip"

_ORPHAN = ("no such file: no rule makes it", "a file", "move it out of results/, or add the row that makes it")
_LEFT_OVER = (
    "no temporary file",
    "a left-over of a job that was killed; no result depends on it",
    "delete it, once no job is running and none is to go on from it",
)


class Folder:
    """The folder that holds the results, with digests computed once.

    Artifacts have the names that they had in the run, `results/...`, whatever the folder of results is called now.
    """

    def __init__(self, root, results=None):
        self.root = Path(root)
        self.results = Path(results or self.root / "results")

    def path(self, name):
        parts = Path(name).parts
        return self.results.joinpath(*parts[1:]) if parts[:1] == ("results",) else self.root / name

    def exists(self, name):
        return self.path(name).is_file()

    @functools.cache  # noqa: B019 (one folder an audit, and digests of large files are slow)
    def sha256(self, name):
        return file_sha256(self.path(name))

    @functools.cached_property
    def below(self):
        """(files, what the system left): names of all that lies under results/, sorted."""
        return tuple([f"results/{name}" for name in names] for names in files_below(self.results))


def check_job(job, folder):
    """Findings about one job's artifacts, and the names of those that older code made."""
    findings = [Finding(name, "the file", "nothing") for name in (*job.outputs, job.record) if not folder.exists(name)]
    present = [name for name in job.outputs if folder.exists(name)]
    findings += _check_record(job, folder)
    older = []
    for name in dict.fromkeys(job.outputs[output] for output in present):
        if folder.exists(name):
            problems, is_older = _check_identity(job, name, folder)
            findings += problems
            older += [name] if is_older else []
    for listing, names in job.files.items():
        if folder.exists(listing):
            findings += _check_listing(listing, names, folder)
    return findings, older


def orphans(jobs, folder):
    """A finding for every file under results/ that no job and no known by-product accounts for; left-overs are told apart."""
    known = {name for job in jobs for name in (*job.outputs, job.record, job.log)} | set(BY_PRODUCTS)
    crate = ("results/ro-crate-metadata.json",)
    return [
        Finding(name, *(_LEFT_OVER if is_temporary(name) else _ORPHAN))
        for name in folder.below[0]
        if name not in known and name not in crate and not name.startswith(BY_PRODUCT_FOLDERS) and not _is_archive(name)
    ]


def _is_archive(name):
    return fnmatchcase(name, _ARCHIVES) and name.count("/") == 1


def _check_record(job, folder):
    if not folder.exists(job.record):
        return []
    try:
        record = parse_json(folder.path(job.record).read_bytes(), job.record)
        check_keys(record, {"outputs": dict, "record_sha256": str}, job.record)
    except InputError as error:
        return [Finding(job.record, "a run record", f"unreadable ({error.found})")]
    outputs, stored = record["outputs"], record["record_sha256"]
    findings = []
    if record_digest(record) != stored:
        findings.append(Finding(job.record, f"record_sha256 {record_digest(record)}", stored))
    if record.get("stage") != job.stage:
        findings.append(Finding(job.record, f"stage {job.stage}", f"stage {record.get('stage')}"))
    if set(outputs) != set(job.outputs):
        odd = sorted(set(outputs) ^ set(job.outputs))[0]
        findings.append(Finding(job.record, f"{len(job.outputs)} outputs", f"{len(outputs)} outputs, {odd} differs"))
    for name in sorted(set(outputs) & set(job.outputs)):
        if folder.exists(name) and folder.sha256(name) != outputs[name]:
            findings.append(Finding(name, f"sha256 {outputs[name]} (its run record)", f"sha256 {folder.sha256(name)}"))
    return findings


def _check_identity(job, name, folder):
    try:
        identity = read_identity(folder.path(name))
    except InputError as error:
        return [Finding(name, "a readable identity", error.found)], False
    findings = []
    if identity["stage"] != job.stage:
        findings.append(Finding(name, f"made by stage {job.stage}", f"made by stage {identity['stage']}"))
        return findings, False
    findings += _check_inputs(job, name, identity["inputs"], folder)
    settings = identity["settings"]
    for key, value in job.settings.items():
        if key not in settings or settings[key] != value:
            findings.append(Finding(name, f"setting {key} = {value!r} (configuration)", f"{key} = {settings.get(key)!r}"))
    return findings, identity.get("code") != _current_code(job.stage, job.chosen)


def _check_inputs(job, name, inputs, folder):
    findings = []
    if {key: entry.get("path") for key, entry in inputs.items()} != job.inputs:
        odd = sorted(set(job.inputs.items()) ^ {(key, entry.get("path")) for key, entry in inputs.items()})[0]
        findings.append(Finding(name, f"inputs {sorted(job.inputs)}", f"{odd[0]} = {odd[1]} differs"))
    for key, path in job.inputs.items():
        stored = inputs.get(key, {}).get("sha256")
        if folder.exists(path) and stored != folder.sha256(path):
            repair = f"one of the two was replaced: delete {name}, or restore {path}, and run snakemake again"
            findings.append(Finding(name, f"made from {path} with sha256 {stored}", f"sha256 {folder.sha256(path)} lies there", repair))
    return findings


def _check_listing(listing, names, folder):
    """A JSON artifact's `files` must name exactly these files, with the digests that they have."""
    try:
        value = {"folder": str(Path(listing).parent)} | read_json(folder.path(listing))
        check_keys(value, {"folder": str, "files": list}, listing)
        for file in value["files"]:
            check_keys(file, {"name": str, "sha256": str}, listing)
    except InputError as error:
        return [Finding(listing, "a list of files with digests", f"unreadable ({error.found})")]
    base, stored = value["folder"], {file["name"]: file["sha256"] for file in value["files"]}
    expected = {name: folder.sha256(name) for name in names if folder.exists(name)}
    found = {(Path(base) / name).as_posix(): digest for name, digest in stored.items()}
    findings = [Finding(listing, f"lists {name}", "does not", REMAKE) for name in sorted(set(names) - set(found))]
    findings += [Finding(listing, "lists nothing else", f"lists {name}", REMAKE) for name in sorted(set(found) - set(names))]
    for name in sorted(set(expected) & set(found)):
        if expected[name] != found[name]:
            findings.append(Finding(name, f"sha256 {found[name]} ({listing})", f"sha256 {expected[name]}"))
    return findings


@functools.cache
def _current_code(stage, chosen):
    return stage_digest(stage, chosen)
