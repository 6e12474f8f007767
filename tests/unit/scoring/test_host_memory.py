"""A limit on memory counts wherever it is set: on the machine, a container, a job of a cluster, or a group above."""

import psutil
import pytest

from scalebound.scoring import host_memory

MACHINE = psutil.virtual_memory().total


@pytest.fixture
def limited(tmp_path, monkeypatch):
    """Says in which groups this process is, and what these allow: {file below the mount: its content}."""

    def set_up(groups, limits):
        monkeypatch.setattr(host_memory, "GROUPS", tmp_path / "cgroup")
        monkeypatch.setattr(host_memory, "MOUNT", tmp_path / "mount")
        (tmp_path / "cgroup").write_text(groups)
        for name, text in limits.items():
            (tmp_path / "mount" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "mount" / name).write_text(text)
        return host_memory.host_memory()

    return set_up


V2, V1 = "0::/slurm/job_7\n", "5:cpu:/\n4:memory:/slurm/job_7\n"


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        (V2, {"slurm/job_7/memory.max": "1048576\n"}, 2**20),
        (V2, {"slurm/job_7/memory.max": "max\n", "slurm/memory.max": "2097152\n"}, 2**21),
        (V2, {"slurm/job_7/memory.max": "4194304\n", "slurm/memory.max": "2097152\n"}, 2**21),
        # within a container the group's own path is not mounted, and the mount is the group
        (V2, {"memory.max": "8388608\n"}, 2**23),
        (V1, {"memory/slurm/job_7/memory.limit_in_bytes": "1048576\n"}, 2**20),
        # how cgroup v1 writes that there is none
        (V1, {"memory/slurm/job_7/memory.limit_in_bytes": "9223372036854771712\n"}, MACHINE),
        (V2, {}, MACHINE),
        ("", {}, MACHINE),
    ],
)
def test_the_least_limit_counts(limited, groups, limits, expected):
    assert limited(groups, limits) == expected


def test_without_control_groups_it_is_the_memory_of_the_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(host_memory, "GROUPS", tmp_path / "none")
    assert host_memory.host_memory() == MACHINE
