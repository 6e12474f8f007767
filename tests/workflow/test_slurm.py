"""The workflow on a cluster: a SLURM of two nodes on this machine. All of it is in one file, so that one test process starts the daemons once.

Starting a job takes snakemake ten seconds here, most of it CPU: the tests are cut to few jobs. SCALEBOUND_SLURM=all runs the whole smoke preset.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from slurm_cluster import Slurm, Unavailable

ROOT = Path(__file__).resolve().parents[2]
# a cluster without accounts of jobs, which is asked often
OPTIONS = ("--workflow-profile", "slurm", "--slurm-no-account", "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1")
# no job comes before these, and each is one job that is submitted
CONFIG, LAW = "results/smoke/config.json", "results/smoke/online_law.csv"
# of a finished run, what is made again: two jobs that follow from each other, and behind them a table with a figure
QUANTIZER, FIGURE = "results/smoke/smoke-6k/quantizers/rtn-4", "results/smoke/figures/terms.png"


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    made = Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        yield made.start()
    except Unavailable as reason:
        pytest.skip(str(reason))
    finally:
        made.stop()


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The variables of a shell in which snakemake finds its plugin, which is not in every environment."""
    if importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        return dict(os.environ)
    folder, uv = tmp_path_factory.mktemp("plugin"), Path(sys.executable).with_name("uv")
    install = [uv, "pip", "install", "--quiet", "--target", folder, "--no-deps", "--require-hashes", "--requirement", ROOT / "envs/slurm.txt"]
    if not uv.exists() or subprocess.run(install).returncode:
        pytest.skip("snakemake's plugin for SLURM is not here and cannot be installed: make slurm")
    return os.environ | {"PYTHONPATH": str(folder)}


def _heed_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def submit(slurm, workspace, environment):
    """Arguments of snakemake -> the call as it begins; what is still running when the test ends is interrupted."""
    running = []

    def begin(*arguments):
        command = [sys.executable, "-m", "snakemake", *OPTIONS, "--configfile", "config/smoke.yaml", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        # who runs the tests in the background has interrupts ignored, by what is started too
        call = subprocess.Popen(command, cwd=workspace.folder, env=environment, **pipes, preexec_fn=_heed_interrupts)
        running.append(call)
        return call

    yield begin
    for call in running:
        if call.poll() is None:
            call.send_signal(signal.SIGINT)
            call.wait()
        call.stdout.close()


def said(call):
    """All that a call has said, when it has ended well."""
    text = call.communicate()[0]
    assert call.returncode == 0, text
    return text


def wait_for(ready, call, seconds=120):
    """What `ready` returns, as soon as it is something; the call must go on meanwhile."""
    deadline = time.monotonic() + seconds
    while not (found := ready()):
        assert call.poll() is None, call.communicate()[0]
        assert time.monotonic() < deadline, "nothing has happened"
        time.sleep(0.2)
    return found


def artifacts(workspace, folder="results"):
    """{path: bytes} of all artifacts in a folder; run records and logs tell times and hosts."""
    files = [path for path in workspace.path(folder).rglob("*") if path.is_file() and not path.name.endswith((".log", "run.json"))]
    return {path.relative_to(workspace.folder).as_posix(): path.read_bytes() for path in files}


def test_jobs_give_the_same_bytes_as_on_one_machine(slurm, submit, workspace, finished):
    """The scores of a quantized model and its bound, and the table and the figure that it is in."""
    finished.copy(workspace.folder)
    for stage in ("score", "bound"):
        shutil.rmtree(workspace.path(QUANTIZER, stage))
    for name in ("bounds.csv", "figures/terms.png"):
        workspace.path("results/smoke", name).unlink()
    before = {job for job, *_ in slurm.jobs("ALL")}
    output = said(submit("--", f"{QUANTIZER}/bound/bounds.json", FIGURE))
    assert artifacts(workspace) == artifacts(finished)
    assert "with jobs on other machines; its 4 jobs" in output.splitlines()[-1]
    # the table and its figure are one submission
    submitted = [comment for job, _, _, comment in slurm.jobs("COMPLETED") if job not in before]
    assert len(submitted) == 3
    assert sum(comment.startswith("rule_short_figures") for comment in submitted) == 1


@pytest.mark.skipif(os.environ.get("SCALEBOUND_SLURM") != "all", reason="ten minutes of two cores: SCALEBOUND_SLURM=all")
def test_the_smoke_preset_gives_the_same_bytes_as_on_one_machine(slurm, submit, workspace, finished):
    """From the download to tables and figures; its studies apart, whose jobs are like the others."""
    before = {job for job, *_ in slurm.jobs("ALL")}
    said(submit("--config", "studies={run: []}"))
    made, expected = artifacts(workspace), artifacts(finished)
    del made["results/smoke/config.json"]
    assert made == {path: expected[path] for path in made}
    assert {"results/smoke/bounds.csv", "results/smoke/certificates.csv", "results/smoke/figures/terms.png"} <= made.keys()
    submitted = {comment for job, _, _, comment in slurm.jobs("ALL") if job not in before}
    # a table goes with its figures, and what is downloaded is nobody else's business
    assert any(comment.startswith("rule_short_figures") for comment in submitted)
    assert not any("fetch" in comment for comment in submitted)


def test_a_job_that_is_killed_for_its_memory_has_more_of_it_at_its_second_attempt(slurm, submit, workspace):
    before = {job for job, *_ in slurm.jobs("ALL")}
    output = said(submit("--set-resources", "resolved_config:mem_mb=100*20**(attempt-1)", "--", CONFIG))
    assert "Trying to restart job" in output
    first, second = sorted((int(job), state) for job, state, *_ in slurm.jobs("ALL") if job not in before)
    assert (first[1], second[1]) == ("FAILED", "COMPLETED")
    log = workspace.path(f".snakemake/slurm_logs/rule_resolved_config/smoke/{first[0]}.log").read_text()
    assert "exceeded memory limit" in log


def test_jobs_of_a_node_that_dies_run_again(slurm, submit, workspace):
    call = submit("--", LAW)
    job, _, node, _ = wait_for(lambda: slurm.jobs("RUNNING"), call)[0]
    slurm.kill_node(node)
    try:
        slurm.tell_of(node, job)
        # on the other node: this one would still be told to end it
        wait_for(lambda: any(known == job and where != node for known, _, where, _ in slurm.jobs("RUNNING")), call)
    finally:
        slurm.start_node(node)
    said(call)
    # it is the same job, which SLURM has queued again by itself
    assert (job, "COMPLETED") in {(known, state) for known, state, *_ in slurm.jobs("ALL")}
    assert workspace.path(LAW).exists()
    assert slurm.jobs() == []


def test_a_second_call_is_refused_and_an_interrupted_one_goes_on(slurm, submit, workspace):
    """Ctrl-C takes the jobs out of the queue, and the same call again does them."""
    # the call must not come to its end before the other one has asked
    with slurm.held():
        first = submit("--", CONFIG, LAW)
        wait_for(lambda: slurm.jobs("PENDING"), first)
        second = submit("--", LAW)
        refused = second.communicate()[0]
    wait_for(lambda: slurm.jobs("RUNNING"), first)
    assert second.returncode == 1
    assert "Directory cannot be locked" in refused
    assert "--unlock" in refused
    first.send_signal(signal.SIGINT)
    first.communicate()
    assert first.returncode != 0
    assert slurm.jobs() == []
    assert not workspace.path(LAW).exists()
    said(submit("--", CONFIG, LAW))
    assert workspace.path(LAW).exists()
    assert workspace.path(CONFIG).exists()
