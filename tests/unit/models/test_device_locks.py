"""Each process of a machine takes a CUDA device of its own; the devices here are names that a stand-in for the driver's tool prints."""

import fcntl
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from scalebound.errors import InputError
from scalebound.models import device_locks

IDS = ("GPU-aaaa1111", "GPU-bbbb2222", "GPU-cccc3333")
GIGABYTES = 40


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with three devices, and a folder of locks of its own; a function that sets how many it has."""
    tool = tmp_path / "bin/nvidia-smi"
    tool.parent.mkdir()

    def having(count):
        lines = "".join(f"echo '{name}, {GIGABYTES * 1024}'\n" for name in IDS[:count])
        tool.write_text(f"#!/bin/sh\n{lines}")
        tool.chmod(0o755)

    having(3)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(device_locks.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(device_locks, "_held", [])
    yield having
    for file in device_locks._held:
        os.close(file)


def holder(weight_bytes=0):
    """A process that claims and says what it sees, and then holds it until it is killed."""
    code = """
        import os, sys, time
        from scalebound.models import device_locks
        device_locks.SECONDS_BETWEEN_TRIES = 0.05
        device_locks.claim(int(sys.argv[1]))
        print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
        time.sleep(600)
    """
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(weight_bytes)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said(process):
    return process.stdout.readline().strip()


@pytest.fixture
def holders():
    running = []

    def begin(weight_bytes=0):
        running.append(holder(weight_bytes))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def test_processes_take_devices_that_differ_and_a_killed_one_leaves_its_own(machine, holders):
    first, second, third = holders(), holders(), holders()
    taken = [said(process) for process in (first, second, third)]
    assert sorted(taken) == sorted(IDS)
    waiting = holders()
    assert waiting.stderr.readline() == "waiting for 1 of 3 CUDA devices: others hold them\n"
    assert waiting.poll() is None
    # as the system ends a process: it cleans nothing up
    second.send_signal(signal.SIGKILL)
    assert said(waiting) == taken[1]


def test_a_model_that_needs_two_takes_both_or_none(machine, holders):
    """Weights of 50 GB on devices of 40, of which they may take four fifths."""
    first, second = holders(), holders()
    assert {said(first), said(second)} < set(IDS)
    large = holders(50 * 10**9)
    assert "waiting for 2 of 3" in large.stderr.readline()
    # the third device is not held by who waits for two
    small = holders()
    assert said(small) in IDS
    first.kill()
    second.kill()
    assert len(said(large).split(",")) == 2


@pytest.mark.parametrize(("named", "found"), [("1", [1]), ("2,0", [2, 0]), ("GPU-bbbb2222", [1]), ("GPU-c", [2]), ("", []), ("-1", [])])
def test_only_visible_devices_are_taken(machine, monkeypatch, named, found):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert [device.uuid for device in device_locks.visible()] == [IDS[k] for k in found]
    claimed = device_locks.claim()
    assert [device.uuid for device in claimed] == [IDS[k] for k in found[:1]]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == (claimed[0].uuid if claimed else named)


def test_a_second_claim_of_one_process_changes_nothing(machine):
    (device,) = device_locks.claim()
    assert device_locks.claim() == []
    assert os.environ["CUDA_VISIBLE_DEVICES"] == device.uuid


@pytest.mark.parametrize("named", ["7", "GPU-z", "GPU-"])
def test_a_device_that_is_not_there_is_named(machine, monkeypatch, named):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    with pytest.raises(InputError, match="CUDA_VISIBLE_DEVICES: "):
        device_locks.claim()


def test_a_model_that_is_too_large_for_all_devices_is_refused(machine):
    machine(1)
    with pytest.raises(InputError, match="need 2 devices, visible are 1"):
        device_locks.claim(50 * 10**9)


def test_the_lock_of_another_user_counts(machine, tmp_path):
    """A file that can be read and not written, in a folder where Linux lets only its owner open it to create it."""
    folder = tmp_path / "scalebound-devices"
    folder.mkdir()
    for name in IDS:
        (folder / name).touch(mode=0o444)
        if os.getuid() == 0:
            os.chown(folder / name, 65534, 65534)
    with open(folder / IDS[0]) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert [device.uuid for device in device_locks.claim()] == [IDS[1]]


def test_without_a_driver_nothing_is_locked(machine, monkeypatch, tmp_path):
    machine(0)
    assert device_locks.claim() == []
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert device_locks.claim() == []
    assert not (tmp_path / "scalebound-devices").exists()
