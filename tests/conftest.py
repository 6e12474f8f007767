"""Workspaces for tests that run the workflow, one of them shared by all tests that only look at a finished run."""

import shutil
import sys
from pathlib import Path

import pytest
from filelock import FileLock

sys.path.insert(0, str(Path(__file__).resolve().parent))

from workspace import Workspace


@pytest.fixture
def workspace(tmp_path):
    """A fresh copy of the workflow without results."""
    return Workspace.create(tmp_path / "workspace")


@pytest.fixture(scope="module")
def new_workspace(tmp_path_factory):
    """The same for a whole module, which runs something of its own in it."""
    return Workspace.create(tmp_path_factory.mktemp("new") / "workspace")


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id):
    """A workspace in which the smoke preset has run to its end; tests that change anything take `finished_copy`.

    Test processes share it: the first that needs it makes it, the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "smoke"
    said = shared / "output.txt"
    with FileLock(f"{shared}.lock"):
        if not said.exists():
            shutil.rmtree(shared, ignore_errors=True)
            made = Workspace.create(shared / "workspace")
            done = made.snakemake()
            assert done.returncode == 0, done.stdout + done.stderr
            said.write_text(done.stdout + done.stderr)
    made = Workspace(shared / "workspace")
    made.output = said.read_text()
    return made


@pytest.fixture
def finished_copy(finished, tmp_path):
    return finished.copy(tmp_path / "workspace")
