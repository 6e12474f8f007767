"""One CUDA device for each process of this machine that wants one, or as many as its model needs: the first that are free, held until the process ends.

A scheduler that counts devices does not say which: two jobs side by side would both take the first. A lock on a file for each device
does, whoever started the processes, and the system lifts it when a process ends, however that is. Devices are known by their UUIDs,
since indices differ from container to container. What CUDA_VISIBLE_DEVICES leaves out is not touched; afterwards it names what is held.
"""

import fcntl
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from scalebound.errors import InputError

VISIBLE = "CUDA_VISIBLE_DEVICES"
WEIGHTS_SHARE = 0.8  # of a device's memory that weights may take before a model is spread over several
SECONDS_BETWEEN_TRIES = 1.0
_QUERY = ["nvidia-smi", "--query-gpu=uuid,memory.total", "--format=csv,noheader,nounits"]
_held = []  # open files; their locks go with the process


@dataclass(frozen=True)
class Device:
    uuid: str
    memory_bytes: int


def claim(weight_bytes=0):
    """Wait for as many devices as weights of so many bytes need, hold them and make them the only visible ones; returns them.

    Nothing where no NVIDIA driver answers, none is visible, or this process holds some already.

    Raises:
        InputError: CUDA_VISIBLE_DEVICES names a device that is not there, or the model needs more than there are.
    """
    if _held or not (devices := visible()):
        return []
    count = max(1, math.ceil(weight_bytes / (WEIGHTS_SHARE * min(device.memory_bytes for device in devices))))
    if count > len(devices):
        what = f"weights of {weight_bytes / 1e9:.0f} GB need {count} devices, visible are {len(devices)}"
        raise InputError("scoring.device", what, "Use larger devices or more of them, or bfloat16")
    waited = False
    while not (found := _try(devices, count)):
        if not waited:
            print(f"waiting for {count} of {len(devices)} CUDA devices: others hold them", file=sys.stderr, flush=True)
            waited = True
        time.sleep(SECONDS_BETWEEN_TRIES)
    os.environ[VISIBLE] = ",".join(device.uuid for device in found)
    return found


def visible():
    """The Devices that this process may use, in the order of CUDA_VISIBLE_DEVICES."""
    try:
        done = subprocess.run(_QUERY, capture_output=True, text=True)
    except OSError:
        return []
    if done.returncode:
        return []
    lines = [line.split(",") for line in done.stdout.splitlines() if "," in line]
    there = [Device(uuid.strip(), int(megabytes) * 2**20) for uuid, megabytes in lines]
    wanted = os.environ.get(VISIBLE)
    if wanted is None:
        return there
    return [_named(word.strip(), there) for word in wanted.split(",") if word.strip() not in ("", "-1")]


def _named(word, there):
    by_index = int(word) if word.isdigit() else None
    found = [device for k, device in enumerate(there) if k == by_index or (by_index is None and device.uuid.startswith(word))]
    if len(found) != 1:
        raise InputError(VISIBLE, f"{word!r}, and there are {len(there)} devices", "Name devices as `nvidia-smi -L` does")
    return found[0]


def _try(devices, count):
    """`count` of the devices, locked; none where fewer are free: who needs two does not hold one and wait."""
    folder = Path(tempfile.gettempdir(), "scalebound-devices")
    folder.mkdir(exist_ok=True)
    if folder.stat().st_uid == os.getuid():
        # for all users of the machine
        folder.chmod(0o1777)
    taken = []
    for device in devices:
        file = _opened(folder / device.uuid)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            continue
        taken.append((device, file))
        if len(taken) == count:
            _held.extend(file for _, file in taken)
            return [device for device, _ in taken]
    for _, file in taken:
        os.close(file)
    return []


def _opened(path):
    """A lock needs a file that can be read, not written: it may be another user's, which Linux lets nobody open to create it in such a folder."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        return os.open(path, flags | os.O_CREAT, 0o644)
