"""One process for all tests that repeat single jobs: heavy imports take longer than the jobs. One archive for all that look at it."""

import shutil

import pytest
from filelock import FileLock
from stages import STREAM, Stages
from workspace import ROOT, Workspace

BESIDE = ("CITATION.cff", "LICENSE", "Makefile", "README.md", "pyproject.toml")


@pytest.fixture(scope="session")
def stages(finished, tmp_path_factory):
    """A copy of the finished workspace in which jobs can be repeated; a test puts back what it changes."""
    made = Stages(finished.copy(tmp_path_factory.mktemp("stages") / "workspace"), finished.path(f"{STREAM}/wheels"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def released(finished, tmp_path_factory, worker_id):
    """A whole checkout with the finished smoke run, of which `snakemake release` has made an archive; tests only read it.

    Test processes share it, as they do `finished`.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "released"
    with FileLock(f"{shared}.lock"):
        if not (shared / "done").exists():
            shutil.rmtree(shared, ignore_errors=True)
            made = finished.copy(shared / "workspace")
            for name in BESIDE:
                shutil.copy2(ROOT / name, made.path(name))
            done = made.snakemake("release")
            assert done.returncode == 0, done.stdout + done.stderr
            (shared / "done").touch()
    return Workspace(shared / "workspace")
