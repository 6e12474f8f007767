"""The jobs behind a results folder, read back from their run records and from the identities inside their outputs.

A path in here is relative to the results folder, wherever that lies now: each record names its own place at the time of
the run, which tells what its other paths were relative to.
"""

import datetime
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scalebound.artifacts.provenance import file_sha256, read_json
from scalebound.artifacts.run_records import SHARED, read_record, record_paths, written_as
from scalebound.artifacts.system_files import plain
from scalebound.audit.identities import read_identity
from scalebound.errors import InputError

# stages that read what a user or a hub gives
FROM_OUTSIDE = ("resolve", "score", "score-references", "quantize", "references", "moments", "hessian", "compare", "gap-law", "overtraining", "online-law")


@dataclass(frozen=True)
class Job:
    """One finished job: its record, the identity of what it made, and {path: sha256} of what it read and wrote.

    `external` is {place: sha256} of what it read outside of the results: weights in the hub's cache
    (hub/<repository>/<commit>/<file>) or in a folder of the user, tables of published values.
    """

    path: str
    record: dict
    identity: dict
    inputs: dict
    outputs: dict
    external: dict

    @property
    def stage(self):
        return self.record["stage"]

    @property
    def started(self):
        return datetime.datetime.fromisoformat(self.record["started"])

    @property
    def ended(self):
        return self.started + datetime.timedelta(seconds=self.record["wall_s"])

    @property
    def log(self):
        """Where the rules of the workflow put what the job said: `x.log` beside `x.run.json`, `<stage>.log` beside `run.json`."""
        path = PurePosixPath(self.path)
        return str(path.with_name(path.name.removesuffix("run.json") + "log") if path.name != "run.json" else path.with_name(f"{self.stage}.log"))


def read_jobs(results, leave_out):
    """Every job that the families' results follow from, in the order of their start; records below `leave_out` are not looked at.

    Raises:
        InputError: no record; a record that is damaged, or lies elsewhere than it was written; an output that is missing
            or altered; an input that no record accounts for; a family without its results, or with one that no job made.
    """
    results = Path(results)
    records = [_Record.read(results, path) for path in record_paths(results, leave_out)]
    jobs = _behind(_family_files(results), _makers(records), results)
    return sorted(jobs, key=lambda job: (job.started, job.path))


def families(results):
    """Names of the families in a results folder."""
    return sorted(path.parent.name for path in Path(results).glob("*/config.json") if path.parent.name not in SHARED)


def is_family_file(path):
    """Whether a path is a result of a family as a whole, made for the reader: its table, its configuration, a figure."""
    parts = PurePosixPath(path).parts
    return parts[0] not in SHARED and (len(parts) == 2 or (len(parts) == 3 and parts[1] == "figures"))


def _family_files(results):
    """The files that the crate is about; a table and a configuration are the least that a finished family has."""
    wanted = []
    for family in families(results):
        folder = results / family
        if not (folder / "bounds.csv").is_file():
            raise InputError(folder, "no bounds.csv: the family is not finished", "Run snakemake until it is")
        listed = plain((*folder.glob("*"), *folder.glob("figures/*")))
        found = (path for path in listed if path.is_file() and not path.name.startswith("."))
        wanted += sorted(path.relative_to(results).as_posix() for path in found if path.suffix != ".log" and not path.name.endswith("run.json"))
    if not wanted:
        raise InputError(results, "no family with a config.json", "Run snakemake first")
    return wanted


def _behind(wanted, makers, results):
    """The jobs that made the wanted files, those that made their inputs, and so on; other jobs are not looked into."""
    jobs, todo = {}, [(path, None, None) for path in wanted]
    while todo:
        path, sha256, reader = todo.pop()
        found = makers.get(path)
        if found is None:
            why = f", and {reader} was made from it" if reader else ""
            raise InputError(results / path, f"no run record says how it was made{why}", "Let snakemake make it again, or move it out of the results")
        if sha256 not in (None, found.outputs[path]):
            raise InputError(results / path, f"sha256 {found.outputs[path]}, but {reader} was made from {sha256}", "Run snakemake again")
        if found.path not in jobs:
            jobs[found.path] = _job(results, found)
            todo += [(path, sha256, found.path) for path, sha256 in jobs[found.path].inputs.items()]
    return list(jobs.values())


def _makers(records):
    makers = {}
    for record in records:
        for path in record.outputs:
            if path in makers:
                raise InputError(path, f"made by two jobs, {makers[path].path} and {record.path}", "Delete the record of the earlier one")
            makers[path] = record
    return makers


@dataclass(frozen=True)
class _Record:
    """A run record at `path` of the results, which its command called `base`; outputs as {path in the results: sha256}."""

    path: str
    value: dict
    base: PurePosixPath
    outputs: dict

    @classmethod
    def read(cls, results, path):
        place = results / path
        value = read_record(place)
        base = _base(value, path, place)
        return cls(path.as_posix(), value, base, {_inside(name, base, place): sha256 for name, sha256 in value["outputs"].items()})


def _job(results, record):
    """The job of a record, after a check that what it made lies there unaltered."""
    place = results / record.path
    for path, sha256 in record.outputs.items():
        _check_digest(results / path, sha256, place)
    identity = _identity(results, record.outputs, record.value["stage"], place)
    read = {entry["path"]: entry["sha256"] for entry in identity["inputs"].values()} | _model_files(results, identity, record.base, place)
    inside = {name: sha256 for name, sha256 in read.items() if PurePosixPath(name).is_relative_to(record.base)}
    external = {name: sha256 for name, sha256 in read.items() if name not in inside}
    if external and record.value["stage"] not in FROM_OUTSIDE:
        name = min(external)
        raise InputError(place, f"names {name}, which lies outside of {record.base}", "Keep what a run reads and writes in its results folder")
    inputs = {_inside(name, record.base, place): sha256 for name, sha256 in inside.items()}
    return Job(record.path, record.value, identity, inputs, record.outputs, external)


def _base(record, path, place):
    """The results folder as the job's command named it: what is left of `--record` without the path in the results."""
    written = written_as(record, place)
    count = len(path.parts)
    if written.parts[-count:] != path.parts:
        raise InputError(place, f"written as {written}", "Put it back where the run left it")
    return PurePosixPath(*written.parts[:-count])


def _inside(name, base, place):
    try:
        return PurePosixPath(name).relative_to(base).as_posix()
    except ValueError:
        raise InputError(place, f"names {name}, which lies outside of {base}", "Keep what a run reads and writes in its results folder") from None


def _identity(results, outputs, stage, place):
    """The identity that the job's outputs share, from the first that carries it: weights, messages and wheels do not, and copies carry another's."""
    for path in sorted(outputs):
        try:
            identity = read_identity(results / path)
        except InputError:
            continue
        if identity["stage"] == stage:
            return identity
    raise InputError(place, "none of its outputs can tell what it was made from", "Delete them and let snakemake make them again")


def _model_files(results, identity, base, place):
    """{path: sha256} of the weights that a job read by way of a description of the model (resolved.json, decoded.json)."""
    files = identity.get("model_files", [])
    if not files:
        return {}
    model = identity["inputs"]["model"]
    path = results / _inside(model["path"], base, place)
    _check_digest(path, model["sha256"], place)
    description = read_json(path)
    hub = description.get("hub")
    folder = description["folder"] if hub is None else f"hub/{hub['repo']}/{hub['commit']}"
    return {f"{folder}/{file['name']}": file["sha256"] for file in files}


def _check_digest(path, sha256, place):
    if not path.is_file():
        raise InputError(path, f"no such file, but {place} records it", "Run snakemake again")
    found = file_sha256(path)
    if found != sha256:
        raise InputError(path, f"sha256 {found}, {place} records {sha256}", "The file was altered: delete it and run snakemake again")
