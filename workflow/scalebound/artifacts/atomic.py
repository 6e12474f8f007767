"""Files appear whole or not at all: write to a temporary name in the same folder, then rename."""

import contextlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

# of `replacing`, and of the folders that training and fetching work in
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}(\.[A-Za-z0-9]+)?")
UNFINISHED = ".unfinished.pt"  # see models/unfinished.py


@contextlib.contextmanager
def replacing(path):
    """Yield a temporary path beside `path`; on success it takes the name `path`, on failure it is removed."""
    path, name = Path(path), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        yield Path(name)
        _flush_to_disk(name)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException as error:
        if name is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
        if isinstance(error, OSError) and (error.filename is None or str(error.filename).startswith(f"{path.parent}{os.sep}.{path.name}.")):
            # named by what was to be written, not by the temporary file that is gone
            error.filename = str(path)
        raise


def is_temporary(path):
    """Whether a path is, or lies in, what a job leaves behind when it is killed while it writes."""
    return any(part == UNFINISHED or _TEMPORARY.fullmatch(part) for part in Path(path).parts)


def write_bytes(path, data):
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def copy(source, path):
    """A file however large, under another name."""
    with replacing(path) as temporary:
        shutil.copyfile(source, temporary)


def write_json(path, value):
    """Sorted keys and a fixed layout, so that equal values are equal bytes; NaN and infinity are refused."""
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_bytes(path, (text + "\n").encode())


def _flush_to_disk(name):
    with open(name, "rb") as handle:
        os.fsync(handle.fileno())


def _umask():
    current = os.umask(0)
    os.umask(current)
    return current
