"""A full disk, a read-only folder: one message with the remedy, exit status 1, and no half-written file.

Each stage is repeated from its run record with its outputs on a small file system of the test's own. It is filled to
several levels, so that the first write fails, or a later one.
"""

import contextlib
import json
import os
import subprocess
import sys

import pytest

STREAM, RUN, CHECKPOINT = "results/streams/smoke-sources", "results/training/smoke-6k", "results/smoke/smoke-6k"
QUANTIZER = f"{CHECKPOINT}/quantizers/gptq-4"
JOBS = {
    "fetch-corpus": f"{STREAM}/wheels/run.json",
    "documents": f"{STREAM}/documents.run.json",
    "tokenizer": f"{STREAM}/tokenizer.run.json",
    "tokenize": f"{STREAM}/rows480/run.json",
    "sample": f"{CHECKPOINT}/sample/score/run.json",
    "encode": f"{QUANTIZER}/encode/run.json",
    "decode": f"{QUANTIZER}/decode/run.json",
    "bound": f"{QUANTIZER}/bound/run.json",
    "table": "results/smoke/bounds.run.json",
    "figures": "results/smoke/figures/terms.run.json",
    "resolved-config": "results/smoke/config.run.json",
}
# train last: it alone needs torch. Its checkpoint is a configuration of 1 kB and weights of 24 kB
FREE_BYTES = dict.fromkeys(JOBS, (0, 8192, 49152)) | {"train": (0, 12288, 150_000)}
JOBS["train"] = f"{RUN}/run.json"
OUTPUTS = ("--out", "--out-identity", "--out-loss", "--out-report", "--out-stream", "--pdf", "--png", "--record", "--folder")

# All levels in one process: what is imported is imported once. The process prints, for each level, what it left.
REPEAT = """
import json, os, shutil, sys, traceback
from pathlib import Path
from scalebound import cli
arguments, place, levels = json.loads(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
for free in levels:
    shutil.rmtree(place / "out", ignore_errors=True)
    (place / "ballast").unlink(missing_ok=True)
    (place / "out").mkdir()
    with open(place / "ballast", "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            file.truncate(max(0, file.tell() - free))
    print(f"== {free}", file=sys.stderr, flush=True)
    try:
        status = cli.main(arguments)
    except BaseException:
        traceback.print_exc()
        status = 99
    left = {str(p.relative_to(place / "out")): p.read_bytes().hex() for p in (place / "out").rglob("*") if p.is_file()}
    print(json.dumps([status, left]), flush=True)
"""


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


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted(folder, ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]):
        yield folder


def moved(job, place):
    """The command of a run record, with every output under `place`."""
    arguments = [job["stage"], *job["arguments"]]
    for k, option in enumerate(arguments[:-1]):
        if option in OUTPUTS:
            arguments[k + 1] = str(place / arguments[k + 1])
    return arguments


def repeat(workspace, arguments, place, levels):
    """[(exit status, what was said, {file: bytes} left behind)], one for each level of free space."""
    environment = os.environ | {"PYTHONPATH": str(workspace.path("workflow")), "OMP_NUM_THREADS": "1"}
    # pip takes the wheel from the workspace: the disk is tested, not the network
    environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(workspace.path(f"{STREAM}/wheels"))}
    command = [sys.executable, "-c", REPEAT, json.dumps(arguments), str(place), json.dumps(levels)]
    done = subprocess.run(command, cwd=workspace.folder, env=environment, capture_output=True, text=True)
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    said = [text.split("\n", 1)[1] for text in done.stderr.split("== ")[1:]]
    assert len(results) == len(said) == len(levels), done.stdout + done.stderr
    return [(status, text, {name: bytes.fromhex(data) for name, data in left.items()}) for (status, left), text in zip(results, said)]


def one_message(text, stage):
    """The only error line: nothing else that looks like one, and no traceback."""
    assert "Traceback" not in text
    (line,) = [line for line in text.splitlines() if "error" in line.lower()]
    assert line.startswith(f"scalebound {stage}: error: ")
    return line


def check_whole(left, finished, job):
    """Only finished files under their own names: the same bytes, apart from what names the folder that they lie in."""
    for name, data in left.items():
        assert name in job["outputs"], f"{name} was left behind"
        if not name.endswith(".json"):
            assert data == finished.path(name).read_bytes(), name
        else:
            assert set(json.loads(data)) == set(json.loads(finished.path(name).read_bytes())), name


@pytest.mark.parametrize("stage", JOBS)
def test_full_disk(finished, small_disk, stage):
    job = json.loads(finished.path(JOBS[stage]).read_text())
    failed = 0
    for status, text, left in repeat(finished, moved(job, small_disk / "out"), small_disk, FREE_BYTES[stage]):
        if status == 0:
            continue
        failed += 1
        assert status == 1, text
        line = one_message(text, stage)
        assert "No space left on device" in line
        assert "Free some space" in line
        check_whole(left, finished, job)
    assert failed


def bytes_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_read_only_folder(finished_copy):
    results = finished_copy.path("results")
    # as when snakemake is asked to make it again: what is not there cannot be kept
    finished_copy.path(f"{STREAM}/wheels/fetched.json").unlink()
    before = bytes_of(results)
    with read_only(results):
        for stage, record in JOBS.items():
            if stage == "train":
                continue  # the same way of writing as the others, and slow
            done = finished_copy.scalebound(stage, *json.loads(finished_copy.path(record).read_text())["arguments"])
            assert done.returncode == 1, done.stdout + done.stderr
            line = one_message(done.stderr, stage)
            assert "folder" in line
            assert "results/" in line, "the message names no place"
    assert bytes_of(results) == before
