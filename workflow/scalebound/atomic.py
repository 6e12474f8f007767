"""Files appear whole or not at all: write to a temporary name in the same folder, then rename."""

import contextlib
import json
import os
import tempfile
from pathlib import Path


@contextlib.contextmanager
def replacing(path):
    """Yield a temporary path beside `path`; on success it takes the name `path`, on failure it is removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    try:
        yield Path(name)
        _flush_to_disk(name)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def write_bytes(path, data):
    with replacing(path) as temporary:
        temporary.write_bytes(data)


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
