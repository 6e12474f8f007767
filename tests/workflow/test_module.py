"""The workflow as a module of another one, from a folder, a git repository or a hosted one: always with the package of its own commit."""

import http.server
import json
import os
import shutil
import subprocess
import threading
from functools import partial

import pytest
from workspace import Workspace

TARGET = "results/smoke/config.json"
USE = """
configfile: "config/config.yaml"
{before}
module scalebound:
    snakefile: {source}
    config: config
use rule * from scalebound
"""


def git(folder, *words):
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    return subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def published(new_workspace, tmp_path_factory):
    """(checkout, commit, environment) of a version of the workflow that is not the installed one, as a repository that `github(...)` finds."""
    new_workspace.edit("workflow/scalebound/__init__.py", '__version__ = "0.1.0"', '__version__ = "9.9.9"')
    for words in (["init", "--quiet", "--initial-branch=main"], ["add", "."], ["commit", "--quiet", "-m", "all"]):
        git(new_workspace.folder, *words)
    forge = tmp_path_factory.mktemp("forge")
    git(forge, "clone", "--quiet", "--bare", str(new_workspace.folder), "owner/scalebound")
    asked = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.file://{forge}/.insteadOf", "GIT_CONFIG_VALUE_0": "https://github.com/"}
    environment = os.environ | asked | {"XDG_CACHE_HOME": str(forge / "cache"), "HOME": str(forge)}
    return new_workspace, git(new_workspace.folder, "rev-parse", "HEAD"), environment


@pytest.fixture
def user(published, tmp_path):
    """(source, what stands before) -> a folder with a configuration and a workflow that uses the module."""

    def make(source, before=""):
        shutil.copytree(published[0].path("config"), tmp_path / "user/config")
        (tmp_path / "user/workflow").mkdir()
        (tmp_path / "user/workflow/Snakefile").write_text(USE.format(source=source, before=before))
        return Workspace(tmp_path / "user")

    return make


SOURCES = {
    "path": 'r"{folder}/workflow/Snakefile"',
    "git": '"git+file://{folder}/workflow/Snakefile@main"',
    "branch": 'github("owner/scalebound", path="workflow/Snakefile", branch="main")',
    "commit": 'github("owner/scalebound", path="workflow/Snakefile", commit="{commit}")',
}


@pytest.mark.parametrize("kind", SOURCES)
def test_jobs_run_the_package_of_the_rules(published, user, kind):
    checkout, commit, environment = published
    made = user(SOURCES[kind].format(folder=checkout.folder, commit=commit))
    done = made.snakemake(TARGET, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(made.path(TARGET).read_text())["identity"]["scalebound"] == "9.9.9"
    assert json.loads(made.path("results/smoke/config.run.json").read_text())["git"] == {"commit": commit, "clean": True}
    # made once, whole, and nothing beside it
    assert [path.name for path in made.folder.glob(".snakemake/scalebound/*")] == ([] if kind == "path" else [commit])


def refused(done, fragment):
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert text.count(fragment) == 1, text
    assert "Traceback" not in text


@pytest.mark.parametrize("kind", ["path", "branch"])
def test_a_package_that_is_loaded_already_is_not_taken_for_that_of_the_rules(published, user, kind):
    """The installed one, of another version."""
    checkout, commit, environment = published
    made = user(SOURCES[kind].format(folder=checkout.folder, commit=commit), before="import scalebound as other")
    refused(made.snakemake(TARGET, env=environment), "use one version of this workflow in a run")


def test_what_snakemake_itself_has_to_import_is_named(published, user):
    made = user(SOURCES["path"].format(folder=published[0].folder), before="import sys; sys.modules['psutil'] = None")
    refused(made.snakemake(TARGET, env=published[2]), "No module 'psutil' for the workflow in")


def test_rules_by_an_address_come_without_the_package(published, user):
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=published[0].folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        made = user(f'"http://127.0.0.1:{server.server_address[1]}/workflow/Snakefile"')
        done = made.snakemake(TARGET, env=published[2])
        server.shutdown()
    refused(done, "Name a git repository instead, by github(...), gitlab(...) or git+file:")
