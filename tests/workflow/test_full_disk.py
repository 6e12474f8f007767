"""A full disk, a read-only folder: one message with the remedy, exit status 1, and no half-written file.

Each stage is repeated from its run record, with its outputs on a small file system of the test's own that is nearly full,
and then where nothing can be written at all.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys

import pytest
from stages import RECORDS, STREAM

# a full disk is met by each way of writing: the other stages write as these do, or (certify) read what lies beside their output
STAGES = [stage for stage in RECORDS if stage not in ("resolve", "score", "quantize", "compress", "certify", "certificates")]
# free at the start, so that the first write fails, or a later one; a checkpoint is a configuration of 1 kB and weights of 24 kB
FREE_BYTES = dict.fromkeys(STAGES, (0, 8192, 49152)) | {"train": (12288, 150_000)}
OUTPUTS = ("--out", "--out-loss", "--out-report", "--out-stream", "--pdf", "--png", "--record", "--folder")


@contextlib.contextmanager
def mounted(folder, *commands):
    """Run the mount commands, then undo them; the test is skipped where they are not allowed."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("mounting takes root on Linux")
    done = 0
    try:
        for command in commands:
            tried = subprocess.run(["mount", *map(str, command)], capture_output=True, text=True)
            if tried.returncode:
                pytest.skip(f"mount: {tried.stderr.strip()}")
            done += 1
        yield folder
    finally:
        if done:
            subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def read_only(folder):
    """Nothing in the folder can be written: by permissions, or for root, whom they do not bind, by a mount."""
    if os.geteuid() == 0:
        with mounted(folder, ["--bind", folder, folder], ["-o", "remount,bind,ro", folder]):
            yield
        return
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    try:
        for path in folders:
            path.chmod(0o555)
        yield
    finally:
        for path in folders:
            path.chmod(0o755)


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk")
    with mounted(folder, ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]):
        yield folder


def fill(place, free):
    """An empty folder `out` on the small disk, with this many bytes free."""
    shutil.rmtree(place / "out", ignore_errors=True)
    (place / "ballast").unlink(missing_ok=True)
    (place / "out").mkdir()
    with open(place / "ballast", "wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        file.truncate(max(0, file.tell() - free))


def moved(job, place):
    """The job with every output under `place`."""
    arguments = list(job["arguments"])
    for k, option in enumerate(arguments[:-1]):
        if option in OUTPUTS:
            arguments[k + 1] = str(place / arguments[k + 1])
    return job | {"arguments": arguments}


def one_message(text, stage):
    """The only error line: nothing else that looks like one, and no traceback."""
    assert "Traceback" not in text
    (line,) = [line for line in text.splitlines() if "error" in line.lower()]
    assert line.startswith(f"scalebound {stage}: error: ")
    return line


def check_whole(out, finished, job):
    """Only finished files under their own names: the same bytes, apart from what names the folder that they lie in."""
    for name, path in files_of(out).items():
        assert name in job["outputs"], f"{name} was left behind"
        if not name.endswith(".json"):
            assert path.read_bytes() == finished.path(name).read_bytes(), name
        else:
            assert set(json.loads(path.read_bytes())) == set(json.loads(finished.path(name).read_bytes())), name


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("stage", STAGES)
def test_full_disk(stages, finished, small_disk, stage):
    job = json.loads(finished.path(RECORDS[stage]).read_text())
    failed = 0
    for free in FREE_BYTES[stage]:
        fill(small_disk, free)
        status, _ = stages.run(moved(job, small_disk / "out"))
        if status == 0:
            continue
        failed += 1
        text = stages.log.read_text()
        assert status == 1, text
        line = one_message(text, stage)
        assert "No space left on device" in line
        assert "Free some space" in line
        check_whole(small_disk / "out", finished, job)
    assert failed


def test_read_only_folder(stages, finished):
    results, listing = stages.workspace.path("results"), stages.workspace.path(f"{STREAM}/wheels/fetched.json")
    # as when snakemake is asked to make it again: what is not there cannot be kept
    content = listing.read_bytes()
    listing.unlink()
    before = {name: path.read_bytes() for name, path in files_of(results).items()}
    try:
        with read_only(results):
            for stage in RECORDS:
                status, _ = stages.run(json.loads(finished.path(RECORDS[stage]).read_text()))
                text = stages.log.read_text()
                assert status == 1, text
                line = one_message(text, stage)
                assert "folder" in line
                assert "results/" in line, "the message names no place"
        assert {name: path.read_bytes() for name, path in files_of(results).items()} == before
    finally:
        listing.write_bytes(content)
