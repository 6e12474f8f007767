"""How much memory this process may use: that of the machine, or what a container or a job of a cluster leaves it of that."""

from pathlib import Path

import psutil

GROUPS, MOUNT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def host_memory():
    """Bytes: the least of the machine's memory and the limits of the control groups (cgroup v1 and v2) that this process is in."""
    return min([psutil.virtual_memory().total, *_limits()])


def _limits():
    try:
        lines = GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            # a limit of any group above counts too; within a container the path may not be there, and the mount is the group itself
            name, root = ("memory.limit_in_bytes", MOUNT / "memory") if controllers else ("memory.max", MOUNT)
            for folder in (path, *map(str, Path(path).parents)):
                yield from _limit(root / folder.lstrip("/") / name)


def _limit(file):
    try:
        text = file.read_text(encoding="utf-8").strip()
    except OSError:
        return
    if text.isdigit():  # "max" is none
        yield int(text)
