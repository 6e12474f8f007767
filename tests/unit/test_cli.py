"""What commands say of themselves, and the worker that does them."""

import importlib
import os
import shlex
import shutil
import subprocess
import sys
import time

import psutil
import pytest

from scalebound import cli
from scalebound.commands import GROUPS, commands, described


@pytest.mark.parametrize("name", commands())
def test_every_command_shows_an_example_that_it_takes(name, capsys, tmp_path, monkeypatch):
    module = importlib.import_module(f"scalebound.commands.{name.replace('-', '_')}")
    parser = cli.parser_of(name, module)
    prog, command, *words = shlex.split(parser.epilog.split("\n")[-1].strip().replace("$(cat settings.json)", "{}"))
    assert (prog, command) == ("scalebound", name)
    parser.parse_args(words)
    assert described(name).group in GROUPS


def test_help_lists_each_command_under_its_group(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    said = capsys.readouterr().out
    assert [said.index(f"{group}:") for group in GROUPS] == sorted(said.index(f"{group}:") for group in GROUPS)
    for name in commands():
        assert f"\n  {name} " in said


@pytest.mark.parametrize("word", ["scoore", "arguments", "stage", "../score", ""])
def test_what_is_no_command_is_said_to_be_unknown(word, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([word])
    assert ended.value.code == 2
    assert "unknown command" in capsys.readouterr().err


def scalebound(*words, **more):
    return subprocess.run([sys.executable, "-m", "scalebound", *map(str, words)], capture_output=True, text=True, **more)


@pytest.fixture(scope="module")
def worker():
    """The environment of a process that has started a worker, which ends with it."""
    code = "import os, sys; from scalebound import warm; warm.start(); print(os.environ[warm.PLACE], flush=True); sys.stdin.read()"
    starter = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    place = starter.stdout.readline().strip()
    wait_for(lambda: os.path.exists(place), "the worker listens")
    yield os.environ | {"SCALEBOUND_WORKER": place}
    starter.stdin.close()
    starter.wait()
    wait_for(lambda: not os.path.exists(place), "the worker ends with the process that it belongs to")


def test_a_command_of_the_worker_says_and_returns_the_same(worker, tmp_path):
    for words in (["digest", "score"], ["digest", "scoore"], ["verify", "nowhere"], ["bound"]):
        cold, warm = scalebound(*words, cwd=tmp_path), scalebound(*words, cwd=tmp_path, env=worker)
        assert (cold.returncode, cold.stdout, cold.stderr) == (warm.returncode, warm.stdout, warm.stderr)


def test_the_worker_works_in_the_folder_and_environment_of_the_one_who_asks(worker, tmp_path):
    done = scalebound("schema", "--out", "here", "--record", "record.json", cwd=tmp_path, env=worker | {"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "here/config.schema.json").is_file()
    assert (tmp_path / "record.json").is_file()


def test_a_worker_that_is_gone_is_no_obstacle(tmp_path):
    done = scalebound("digest", "score", env=os.environ | {"SCALEBOUND_WORKER": str(tmp_path / "none")})
    assert done.returncode == 0


def test_a_package_that_changed_is_not_the_workers(worker, tmp_path):
    """A copy of the package with an edit asks the same worker: the answer is the edited one's."""
    copied = shutil.copytree(os.path.dirname(cli.__file__), tmp_path / "scalebound", ignore=shutil.ignore_patterns("__pycache__"))
    with open(copied / "bounds/azuma.py", "a") as file:
        file.write("\n\ndef azuma_bound(*_):\n    return 0\n")
    cold, other = scalebound("digest", "bound", env=worker), scalebound("digest", "bound", env=worker | {"PYTHONPATH": str(tmp_path)})
    assert cold.returncode == other.returncode == 0
    assert cold.stdout != other.stdout


def test_the_job_of_a_process_that_is_killed_ends_too(worker, tmp_path):
    asking = subprocess.Popen([sys.executable, "-m", "scalebound", "bench", "scoring", "--shapes", "6.9b", "--windows", "8"], env=worker, cwd=tmp_path)
    wait_for(lambda: processes_of(worker) == 2, "the job has begun")
    asking.kill()
    asking.wait()
    wait_for(lambda: processes_of(worker) == 1, "the job has ended")
    assert scalebound("digest", "score", env=worker).returncode == 0


def test_other_jobs_go_on_while_one_that_was_left_ends(worker, tmp_path):
    """The copy that is left is held up, so that it has not ended when the next job begins."""
    asking = subprocess.Popen([sys.executable, "-m", "scalebound", "bench", "scoring", "--shapes", "6.9b", "--windows", "8"], env=worker, cwd=tmp_path)
    wait_for(lambda: processes_of(worker) == 2, "the job has begun")
    held = max(copies_of(worker), key=lambda process: process.create_time())
    held.suspend()
    try:
        asking.kill()
        asking.wait()
        done = scalebound("digest", "score", env=worker)
        assert (done.returncode, done.stderr) == (0, "")
    finally:
        held.resume()
    wait_for(lambda: processes_of(worker) == 1, "the job has ended")
    # the worker itself is still there for more
    done = scalebound("digest", "score", env=worker)
    assert (done.returncode, done.stderr) == (0, "")
    assert processes_of(worker) == 1


def copies_of(worker):
    found = (process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"])
    return [process for process in found if "scalebound.warm" in process.info["cmdline"] and worker["SCALEBOUND_WORKER"] in process.info["cmdline"]]


def processes_of(worker):
    """The worker and the copies of it that do a job."""
    return len(copies_of(worker))


def wait_for(condition, what, seconds=120):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, what
        time.sleep(0.05)
