"""A job that is killed at any moment leaves no half-written file, and running it again gives the same bytes.

The jobs of the smoke preset are repeated from their run records and killed with SIGKILL, which no program can catch:
first each stage alone, at seeded moments, then snakemake with its jobs. Every stage of the preset is deterministic, so
all that is made in the end has to be what an undisturbed run made, byte for byte.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stages import CHECKPOINT, QUANTIZER, RECORDS, RUN

from scalebound.audit.run import audit

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="process groups and SIGKILL are POSIX")

# how often one job of each stage is killed
KILLS = (
    dict.fromkeys(RECORDS, 4)
    | dict.fromkeys(("fetch-corpus", "figures", "score-trajectory", "references", "gap-law"), 3)
    | {"tokenize": 4, "train": 5, "compress": 2}
)


def files_of(workspace):
    """Every file under results/."""
    return {path.relative_to(workspace.folder).as_posix() for path in workspace.path("results").rglob("*") if path.is_file()}


def is_temporary(name):
    """Temporary files and folders have names that begin with a dot, and no artifact's name does."""
    return any(part.startswith(".") for part in Path(name).parts)


def remove(workspace, names):
    for name in names:
        workspace.path(name).unlink(missing_ok=True)


def restore(workspace, finished):
    """Undo what a stage that failed its test may have left for the next one."""
    for name in different(workspace, finished, files_of(finished)):
        workspace.path(name).parent.mkdir(parents=True, exist_ok=True)
        workspace.path(name).write_bytes(finished.path(name).read_bytes())


def different(workspace, finished, names):
    """Those of the files that are missing, or have other bytes than in the finished workspace."""
    return sorted(n for n in names if not workspace.path(n).is_file() or workspace.path(n).read_bytes() != finished.path(n).read_bytes())


def check_whole(workspace, finished, outputs, record):
    """Each output is there with all of its bytes, or not at all; so is the run record, which is written last."""
    assert different(workspace, finished, [name for name in outputs if workspace.path(name).exists()]) == []
    if workspace.path(record).exists():
        assert json.loads(workspace.path(record).read_text())["record_sha256"]
        assert all(workspace.path(name).exists() for name in outputs)


@pytest.mark.parametrize("stage", RECORDS)
def test_a_killed_stage_leaves_whole_files_or_none_and_runs_again(stages, finished, stage):
    record, kills = RECORDS[stage], KILLS[stage]
    job = json.loads(finished.path(record).read_text())
    workspace, outputs, rng = stages.workspace, sorted(job["outputs"]), random.Random(stage)
    assert job["stage"] == stage
    restore(workspace, finished)
    watch = sorted({parent for name in outputs for parent in (Path(name).parent, Path(name).parent.parent)})
    remove(workspace, [*outputs, record])
    status, seconds = stages.run(job)
    assert status == 0, stages.log.read_text()

    killed = 0
    for number in range(kills):
        remove(workspace, [*outputs, record])
        # every second time not at any moment, but when something is being written
        seen = {"watch": watch, "delay": rng.choice((0, 0, rng.uniform(0, 0.01)))} if number % 2 else {}
        status, took = stages.run(job, kill_after=rng.uniform(0, 0.7 * seconds if seen else seconds), **seen)
        assert status in (0, -signal.SIGKILL), stages.log.read_text()
        killed += status != 0
        seconds = min(seconds, took) if status == 0 else seconds
        check_whole(workspace, finished, outputs, record)
    assert killed >= kills // 4

    # what was left behind is still there and does not disturb
    status, _ = stages.run(job)
    assert status == 0, stages.log.read_text()
    assert different(workspace, finished, outputs) == []
    assert workspace.path(record).exists()
    assert [name for name in files_of(workspace) - files_of(finished) if not is_temporary(name)] == []


def test_a_killed_run_over_finished_files_leaves_them_whole(stages, finished):
    """Training replaces folders, not files: here the old checkpoints lie in the way of the new ones."""
    record = RECORDS["train"]
    job = json.loads(finished.path(record).read_text())
    watch = [Path(RUN)]
    for number in range(4):
        status, _ = stages.run(job, kill_after=0.1 * number, watch=watch, delay=0.002 * number)
        assert status == -signal.SIGKILL, stages.log.read_text()
        check_whole(stages.workspace, finished, sorted(job["outputs"]), "none")
    assert stages.run(job)[0] == 0
    assert different(stages.workspace, finished, job["outputs"]) == []


DIE_BEHIND_A_STATE = """
import os, signal, sys
from scalebound import cli
from scalebound.models import unfinished
unfinished.SECONDS, unfinished.SHARE, left = 0, float("inf"), int(sys.argv[1])
write = unfinished.Unfinished._write
def write_and_die(self, kept):
    global left
    write(self, kept)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
unfinished.Unfinished._write = write_and_die
cli.main(sys.argv[2:])
"""


STUDENT = f"{CHECKPOINT}/requential/few/student/run.json"


@pytest.mark.parametrize(("record", "states"), [(RECORDS["train"], 20), (RECORDS["compress"], 5), (STUDENT, 4)])
def test_a_long_job_goes_on_from_the_state_that_was_kept_last(stages, finished, record, states):
    """Killed behind it, and what it had made removed, as snakemake does before it starts a job again."""
    workspace, job = stages.workspace, json.loads(finished.path(record).read_text())
    restore(workspace, finished)
    before = files_of(workspace)
    command = [sys.executable, "-c", DIE_BEHIND_A_STATE, str(states), job["stage"], *job["arguments"]]
    done = subprocess.run(command, cwd=workspace.folder, env=os.environ | {"PYTHONPATH": str(workspace.path("workflow"))})
    assert done.returncode == -signal.SIGKILL
    remove(workspace, [*job["outputs"], record])
    [state] = files_of(workspace) - before
    assert is_temporary(state)
    assert stages.run(job)[0] == 0, stages.log.read_text()
    assert f"{state}: goes on from there" in stages.log.read_text()
    assert files_of(workspace) == before
    assert different(workspace, finished, job["outputs"]) == []


LEAVE_BEHIND = """
import os, signal, sys
from scalebound.artifacts import atomic
with atomic.replacing(sys.argv[1]) as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_left_over_temporary_files_rerun_nothing_and_spoil_no_audit(finished_copy):
    for name in (f"{QUANTIZER}/encode/model.sbq", f"{CHECKPOINT}/score/scores.parquet", "results/smoke/bounds.csv"):
        command = [sys.executable, "-c", LEAVE_BEHIND, name]
        done = subprocess.run(command, cwd=finished_copy.folder, env=os.environ | {"PYTHONPATH": str(finished_copy.path("workflow"))})
        assert done.returncode == -signal.SIGKILL
    # as training leaves it, which works in a folder
    folder = finished_copy.path(f"{RUN}/.step16.ab12_xyz/step16")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{")
    finished_copy.path(f"{RUN}/.unfinished.pt").write_bytes(b"a state")
    left = {name for name in files_of(finished_copy) if is_temporary(name)}
    assert len(left) == 5
    assert finished_copy.pending() == []
    found = audit(finished_copy.path("results"), 1, numbers=False).findings
    assert {finding.path for finding in found} == left
    for finding in found:
        assert "left-over of a job that was killed" in finding.found
        assert finding.repair.startswith("delete it")


def test_a_file_that_only_looks_like_a_left_over_is_an_orphan_like_any_other(finished_copy):
    for name in (".hidden", ".notes.txt", "notes.abcdefgh.txt"):
        finished_copy.path("results/smoke", name).touch()
    found = audit(finished_copy.path("results"), 1, numbers=False).findings
    assert len(found) == 3
    assert {finding.expected for finding in found} == {"no such file: no rule makes it"}


# what is made again, all jobs from quantizing on, and what of it has to lie there when the kill comes
# all that lies in the quantizer's folder
TARGETS = (f"{QUANTIZER}/bound/bounds.json", f"{QUANTIZER}/heldout/scores.parquet")
MOMENTS = ("quantize/codes.safetensors", "encode/model.sbq", "decode/decoded.json", "score/scores.parquet")


def start_snakemake(workspace, log):
    """snakemake as the leader of a process group, which its jobs belong to."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *TARGETS, "--configfile", "config/smoke.yaml"]
    with open(log, "ab") as file:
        return subprocess.Popen(command, cwd=workspace.folder, stdout=file, stderr=file, start_new_session=True)


def kill_group(process):
    """SIGKILL to snakemake and its jobs at once, as a power cut: none may go on writing while the next one runs."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError(f"processes of group {process.pid} live on")


def wait_for(path, process, seconds=300):
    deadline = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < deadline:
        assert process.poll() is None, "snakemake ended before it was killed"
        time.sleep(0.02)
    assert path.exists()


def test_a_killed_snakemake_is_unlocked_and_ends_with_the_same_results(finished_copy, finished, tmp_path):
    workspace, rng = finished_copy, random.Random(5)
    shutil.rmtree(workspace.path(QUANTIZER))
    running = start_snakemake(workspace, tmp_path / "snakemake.log")
    try:
        wait_for(workspace.path(QUANTIZER, rng.choice(MOMENTS)), running)
        time.sleep(rng.uniform(0, 1))
        assert running.poll() is None
    finally:
        kill_group(running)
    artifacts = {name for name in files_of(finished) if is_artifact(name)}
    half = {name for name in files_of(workspace) if is_artifact(name)}
    assert half < artifacts
    assert different(workspace, finished, half) == []

    locked = workspace.snakemake(*TARGETS)
    assert locked.returncode != 0
    assert "--unlock" in locked.stdout + locked.stderr
    unlocked = workspace.snakemake("--unlock")
    assert unlocked.returncode == 0, unlocked.stdout + unlocked.stderr
    done = workspace.snakemake(*TARGETS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {name for name in files_of(workspace) if is_artifact(name)} == artifacts
    assert different(workspace, finished, artifacts) == []
    assert workspace.pending() == []


def is_artifact(name):
    """Run records and logs tell times and hosts and differ from run to run; what a killed job left is no artifact."""
    return not is_temporary(name) and not name.endswith((".log", "run.json"))
