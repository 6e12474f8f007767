"""A results folder on another disk, under another name, and with what systems leave in any folder."""

import shutil

import pytest

from scalebound.audit.chain import Folder
from scalebound.audit.recompute import recompute
from scalebound.audit.run import audit
from scalebound.plan.plan import Plan

LEFT = (".DS_Store", "smoke/._bounds.csv", "smoke/._bounds.run.json", "smoke/figures/Thumbs.db", "smoke/smoke-6k/desktop.ini", "training/.nfs0000000000a1")


@pytest.fixture
def elsewhere(finished_copy, tmp_path):
    """The workspace whose results are a link to another place, in which the training runs are a link to a third one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    shutil.move(finished_copy.path("results"), disk / "run 7")
    shutil.move(disk / "run 7/training", disk / "training")
    (disk / "run 7/training").symlink_to(disk / "training")
    finished_copy.path("results").symlink_to(disk / "run 7")
    for name in LEFT:
        finished_copy.path("results", name).write_bytes(b"\\x00")
    (disk / "run 7/lost+found").mkdir()
    return finished_copy


def test_the_audit_follows_links_and_names_what_systems_leave(elsewhere):
    done = elsewhere.scalebound("audit", "results", "--hashes-only", "--page", "results/audit.html")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in (*LEFT, "lost+found/"):
        assert f"results/{name}: left by the system" in " ".join(done.stdout.split())
    manifest = elsewhere.path("results/manifest.tsv").read_text()
    assert "results/training/smoke-6k/step60/model.safetensors\ttrain" in manifest
    assert "results/smoke/bounds.csv" in elsewhere.path("results/audit.html").read_text()


def test_a_folder_of_another_name_is_audited_under_the_names_of_the_run(elsewhere, tmp_path):
    place = tmp_path / "disk/run 7"
    assert audit(place, workers=1, numbers=False).findings == []
    job = next(job for job in Plan.from_results(place / "smoke/config.json").jobs_of("smoke") if job.stage == "bound")
    folder = Folder(place.parent, place)
    assert recompute(job, folder) == ([], None, True)
    shutil.copy(folder.path(job.given["scores"]), folder.path(job.given["quantized_scores"]))
    assert [finding.path for finding in recompute(job, folder)[0]] == list(job.outputs)


def test_what_lies_behind_a_link_is_audited_too(elsewhere, tmp_path):
    """A stranger's file and an altered one, where the training runs are."""
    (tmp_path / "disk/training/odd.txt").write_text("?")
    weights = tmp_path / "disk/training/smoke-6k/step60/model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    found = {finding.path for finding in audit(elsewhere.path("results"), workers=1, numbers=False).findings}
    assert {"results/training/odd.txt", "results/training/smoke-6k/step60/model.safetensors"} <= found


def test_other_commands_find_the_results_behind_a_link(elsewhere):
    for command in (["summary"], ["crate", "--results", "results", "--out", "results/crate"]):
        done = elsewhere.scalebound(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "._bounds" not in elsewhere.path("results/ro-crate-metadata.json").read_text()
    assert elsewhere.pending() == []


def test_no_folder_at_all(workspace):
    done = workspace.scalebound("audit", "results")
    assert done.returncode == 1
    assert "results: no such folder" in done.stderr
