"""What an artifact is made of (its identity, inside it) and how one run made it (its record, beside it).

The identity holds only what determines the content: digests of inputs and code, settings, package versions, device and
dtype. What differs from run to run (time, memory, host, git state) goes into the record, never into a hashed file.
"""

import datetime
import hashlib
import importlib.metadata
import json
import platform
import resource
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

import scalebound
from scalebound.artifacts import atomic
from scalebound.artifacts.code_digest import ROOT, stage_digest
from scalebound.errors import InputError, first_line

KEY = "scalebound"


def file_sha256(path):
    try:
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except FileNotFoundError:
        raise InputError(path, "no such file", "Make it with snakemake, or correct the path") from None


def identity(stage, inputs, settings, packages=(), chosen=None, **facts):
    """The identity of what `stage` makes from `inputs` ({name: path}) under `settings` (a JSON-able dict).

    `packages` are the distributions whose version can change the content; `facts` are further determining facts. `chosen` is the
    module that the stage takes, where its name is computed.
    """
    return {
        "stage": stage,
        "code": stage_digest(stage, chosen),
        "scalebound": scalebound.__version__,
        "inputs": {name: {"path": str(path), "sha256": file_sha256(path)} for name, path in sorted(inputs.items())},
        "settings": settings,
        "packages": {name: importlib.metadata.version(name) for name in sorted(packages)},
        "python": platform.python_version(),
        **facts,
    }


def describe_files(folder, names):
    """[{name, bytes, sha256}] of files in `folder`: how a JSON artifact vouches for files that carry no identity."""
    paths = [Path(folder) / name for name in names]
    return [{"name": str(name), "sha256": file_sha256(path), "bytes": path.stat().st_size} for name, path in zip(names, paths)]


def parse_json(data, where):
    """The value of JSON text or bytes. Raises InputError when it is none, or is nested too deeply to be read."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(where, f"not a JSON file ({first_line(error)})", "Delete it and let snakemake make it again") from None


def read_json(path, stage=None, needs=None):
    """A JSON artifact with its identity; `stage`, if given, must be the one (or one of those) that made it.

    Raises:
        InputError: unreadable, made by another stage, or a key of `needs` ({key: type}) is missing or of another type.
    """
    try:
        value = parse_json(Path(path).read_bytes(), path)
    except FileNotFoundError:
        raise InputError(path, "no such file", "Make it with snakemake, or correct the path") from None
    if not isinstance(value, dict) or not isinstance(value.get("identity"), dict):
        raise InputError(path, "no identity in it", "Delete it and let snakemake make it again")
    wanted = (stage,) if isinstance(stage, str) else stage
    if wanted is not None and value["identity"].get("stage") not in wanted:
        raise InputError(path, f"made by stage {value['identity'].get('stage')!r}, wanted {' or '.join(map(repr, wanted))}", "Give the right file")
    check_keys(value, needs or {}, path)
    return value


def check_keys(value, needs, where):
    """Raise InputError unless the object `value` holds every key of `needs` with a value of its type."""
    for key, kind in needs.items():
        if not isinstance(value, dict) or key not in value:
            raise InputError(where, f"no {key!r} in it", "Delete it and let snakemake make it again")
        # in JSON a number is an integer or not by how it is written, and True is no number
        allowed = (int, float) if kind is float else kind
        if not isinstance(value[key], allowed) or (isinstance(value[key], bool) and kind is not bool):
            raise InputError(where, f"{key} {str(value[key])[:60]!r} is no {kind.__name__}", "Delete it and let snakemake make it again")


class Recorder:
    """Measures one command and writes its record: digests of its outputs, CPU and wall time, peak memory, host, date, git state.

    Of a job that went on from where another process was ended (models/unfinished.py), CPU seconds are of that one too, up to the state
    that it left; all else is of the last.
    """

    def __init__(self, stage, argv):
        self.stage, self.argv = stage, list(argv)
        # from the start of the process: importing torch is part of what a job costs
        self.started = psutil.Process().create_time()
        # a clock that is set meanwhile makes no job longer, and none end before its start
        self._before, self._since = max(0.0, time.time() - self.started), time.monotonic()
        self._carried = 0.0

    def carry(self, cpu_s):
        """Count CPU seconds of a process that was ended, up to the state from which this one goes on."""
        self._carried += cpu_s

    def cpu_s(self):
        """CPU seconds that the job has taken so far, those of earlier processes among them."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return self._carried + usage.ru_utime + usage.ru_stime

    def write(self, path, outputs):
        """Write the record of a finished command to `path`; `outputs` are the files that it made."""
        record = {
            "stage": self.stage,
            "arguments": self.argv,
            "outputs": {str(output): file_sha256(output) for output in outputs},
            "started": datetime.datetime.fromtimestamp(self.started, datetime.UTC).isoformat(timespec="milliseconds"),
            "wall_s": round(self._before + time.monotonic() - self._since, 3),
            "cpu_s": round(self.cpu_s(), 3),
            "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            "peak_cuda_bytes": _peak_cuda_bytes(),
            "host": socket.gethostname(),
            "platform": platform.platform(),
            "git": git_state(),
        }
        atomic.write_json(path, {**record, "record_sha256": record_digest(record)})


def record_digest(record):
    """Hex sha256 of a run record without its own digest, so that an edit of the record shows."""
    rest = {key: value for key, value in record.items() if key != "record_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def git_state(folder=ROOT):
    """Commit and cleanliness of the checkout that the package belongs to; null with the reason when there is none."""
    if shutil.which("git") is None:
        return {"commit": None, "clean": None, "reason": "git is not installed"}
    head = _git(folder, "rev-parse", "HEAD")
    # a copy of the package inside some other repository is not that repository's code
    tracked = _git(folder, "ls-files", "--error-unmatch", "__init__.py")
    for done in (head, tracked):
        if done.returncode:
            return {"commit": None, "clean": None, "reason": (done.stderr.strip() or "git failed without a message").splitlines()[0]}
    status = _git(folder, "status", "--porcelain")
    status.check_returncode()
    return {"commit": head.stdout.strip(), "clean": not status.stdout.strip()}


def _git(folder, *arguments):
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True)


def _peak_cuda_bytes():
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return max(torch.cuda.max_memory_allocated(device) for device in range(torch.cuda.device_count()))
