"""Run records (`run.json`, `*.run.json`): found, read and added up, in one way for the audit, the docs and the end of a run.

Snakemake's own process reads them too, so nothing heavy is imported here.
"""

import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scalebound.artifacts.provenance import check_keys, parse_json, record_digest
from scalebound.artifacts.system_files import files_below
from scalebound.errors import InputError

KEYS = ("stage", "arguments", "outputs", "started", "wall_s", "host", "platform", "git", "record_sha256")
SHARED = ("streams", "training")  # folders of the results that belong to no family
REMAKE = "Delete it and let snakemake make it again"


@dataclass(frozen=True)
class Cost:
    """What jobs took: CPU and wall time in seconds as sums, the largest memory of one, the first start (ISO 8601, UTC)."""

    started: str
    jobs: int
    cpu_s: float
    wall_s: float
    peak_rss_bytes: int

    @classmethod
    def of(cls, record, where):
        """The cost of one record. Raises InputError, which names the record by `where`, unless all of it is there and finite."""
        check_keys(record, {"started": str, "cpu_s": float, "wall_s": float, "peak_rss_bytes": int}, where)
        for name in ("cpu_s", "wall_s", "peak_rss_bytes"):
            if not 0 <= record[name] < math.inf:
                raise InputError(where, f"{name} {record[name]} is no amount", REMAKE)
        return cls(record["started"], 1, record["cpu_s"], record["wall_s"], record["peak_rss_bytes"])

    def __add__(self, other):
        largest = max(self.peak_rss_bytes, other.peak_rss_bytes)
        started = min(self.started, other.started)
        return Cost(started, self.jobs + other.jobs, self.cpu_s + other.cpu_s, self.wall_s + other.wall_s, largest)


def add_up(pairs):
    """{key: Cost} of (key, Cost) pairs, in the order of the first start."""
    found = {}
    for key, cost in sorted(pairs, key=lambda pair: pair[1].started):
        found[key] = found[key] + cost if key in found else cost
    return found


def costs_by_stage_and_checkpoint(results):
    """{(stage, checkpoint): Cost} of every record in a results folder; the checkpoint is None for what several share.

    Raises:
        InputError: no record; one that is damaged or lacks something, or that lies elsewhere than it was written.
    """
    results = Path(results)
    pairs = []
    for path in record_paths(results, results / "crate"):
        record = read_record(results / path)
        _check_place(record, path, results / path)
        pairs.append(((record["stage"], checkpoint_of(path)), Cost.of(record, results / path)))
    return add_up(pairs)


def checkpoint_of(path):
    """The checkpoint that a record is of, by its path in the results: its folder's name, a training run's where it is of one; None of what several share."""
    parts = PurePosixPath(path).parts
    if parts[0] == "streams" or len(parts) < 3 or (parts[0] not in SHARED and parts[1] == "figures"):
        return None
    return parts[1]


def record_paths(results, leave_out):
    """Paths in `results` of its run records, sorted; those below `leave_out` are not looked at. Raises InputError where there are none."""
    found = (results / name for name in (files_below(results)[0] if results.is_dir() else ()) if name.endswith(("/run.json", ".run.json")))
    paths = sorted(path.relative_to(results) for path in found if Path(leave_out) not in path.parents)
    if not paths:
        raise InputError(results, "no run record (run.json, *.run.json) in it", "Give the results folder of a run")
    return paths


def read_record(path):
    """A run record. Raises InputError when it is none, lacks something or was altered."""
    record = parse_json(Path(path).read_bytes(), path)
    missing = [key for key in KEYS if not isinstance(record, dict) or key not in record]
    if missing:
        raise InputError(path, f"an incomplete run record: no {missing[0]!r} in it", REMAKE)
    check_keys(record, {"stage": str, "arguments": list, "outputs": dict, "started": str}, path)
    if record_digest(record) != record["record_sha256"]:
        raise InputError(path, "an altered run record: its record_sha256 is not its own", REMAKE)
    return record


def written_as(record, where):
    """The path that a record was written to, as its command named it."""
    words = record["arguments"]
    if "--record" not in words[:-1]:
        raise InputError(where, "its arguments name no --record", REMAKE)
    return PurePosixPath(str(words[words.index("--record") + 1]))


def _check_place(record, path, where):
    """In a part of a results folder, or a folder above it, names of folders would be taken for others than they are."""
    written = written_as(record, where)
    if written.parts[-len(path.parts) - 1 :] != ("results", *path.parts):
        raise InputError(where, f"written as {written}", "Give the whole results folder of a run, as the run left it")
