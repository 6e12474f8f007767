"""Two rows of a table with one weight file: refused before anything is fetched, and found by the audit."""

import json
from types import SimpleNamespace

import pytest

from scalebound.audit.chain import Folder
from scalebound.audit.run import weights_of_another_step
from scalebound.commands import paper_plan
from scalebound.errors import InputError
from scalebound.hub.shared_weights import shared_weights

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def located(step, *digests, repo="org/tiny", revision=None):
    """What resolve-hub found out; the configuration is the same file everywhere."""
    weights = [f"model-{k}.safetensors" for k in range(len(digests))]
    files = [{"path": path, "size": 9, "sha256": digest} for path, digest in zip(weights, digests)]
    files.append({"path": "config.json", "size": 2, "git_blob": "0" * 40})
    return {"repo": repo, "revision": revision or f"step{step}", "step": step, "files": files, "weights": weights}


def test_rows_of_their_own_weights_share_nothing():
    assert shared_weights({"one": located(1, A), "two": located(2, B), "three": located(3, C)}, {}) == []


@pytest.mark.parametrize("repo", ["org/tiny", "org/other"])
def test_one_file_in_common_is_enough_in_one_repository_and_across(repo):
    rows = {"one": located(1, A, B), "two": located(2, C), "three": located(3, B, repo=repo)}
    assert shared_weights(rows, {}) == [("one", "three", f"sha256:{B}")]


def test_one_step_under_two_names_and_pairs_known_to_be_equal_are_none():
    assert shared_weights({"one": located(1, A), "again": located(1, A, repo="org/mirror")}, {}) == []
    rows = {"one": located(0, A), "two": located(1, A)}
    assert shared_weights(rows, {"org/tiny": [["step1", "step0"]]}) == []
    assert len(shared_weights(rows, {"org/other": [["step1", "step0"]]})) == 1
    known = {name: located(step, A, repo="EleutherAI/pythia-70m") for name, step in (("one", 0), ("two", 1))}
    assert shared_weights(known, {}) == []


class Planned:
    """As much of a plan as is asked."""

    def __init__(self, rows):
        self.rows = [SimpleNamespace(source="hub", family="tiny", slug=slug) for slug in rows]
        self.config = SimpleNamespace(hub=SimpleNamespace(known_equal={}), families=["tiny"])

    def released_of(self, family):
        return self.rows


@pytest.fixture
def results(tmp_path):
    for slug, found in {"one": located(1, A), "two": located(2, A)}.items():
        path = tmp_path / "results/tiny" / slug / "resolve/hub.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"identity": {"stage": "resolve-hub"}, "hub": found}))
    return tmp_path / "results"


def test_the_audit_names_both_rows(results):
    (found,) = weights_of_another_step(Planned(["one", "two"]), "tiny", Folder(results.parent))
    assert found.path == "results/tiny/two/resolve/hub.json"
    assert "results/tiny/one/resolve/hub.json" in found.found
    assert A in found.found
    # what is missing or damaged is found elsewhere
    (results / "tiny/one/resolve/hub.json").unlink()
    assert weights_of_another_step(Planned(["one", "two"]), "tiny", Folder(results.parent)) == []
    (results / "tiny/two/resolve/hub.json").write_text("{}")
    assert weights_of_another_step(Planned(["one", "two"]), "tiny", Folder(results.parent)) == []


def test_what_a_run_will_take_is_not_told_of_a_wrong_table(results):
    with pytest.raises(InputError, match=f"one and two: steps 1 and 2 share a weight file, sha256:{A}"):
        paper_plan.located_rows(Planned(["one", "two"]), results)
