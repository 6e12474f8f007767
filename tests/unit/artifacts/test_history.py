"""history.json, as it is written and as it is read: no reference that has seen the row it predicts."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from scalebound.artifacts.history import history_of, read_history
from scalebound.artifacts.provenance import file_sha256
from scalebound.commands import history
from scalebound.errors import InputError

VALUE = {"rows_per_step": 2, "references": [{"step": 5, "first_row": 10}, {"step": 12, "first_row": 24}], "averages": {}}


def changed(**changes):
    return VALUE | changes


def test_the_step_of_a_row_follows_from_it():
    assert history_of(VALUE, "here").steps_of(np.array([9, 10, 23, 24])).tolist() == [0, 5, 5, 12]


@pytest.mark.parametrize(
    ("references", "words"),
    [
        ([{"step": 5, "first_row": 9}], "it has not seen those from 10 on"),
        ([{"step": 5, "first_row": 12}], "it has not seen those from 10 on"),
        ([{"step": 12, "first_row": 24}, {"step": 5, "first_row": 10}], "steps [12, 5]"),
        ([{"step": 5, "first_row": 10}] * 2, "steps [5, 5]"),
        ([{"step": 0, "first_row": 0}], "steps [0]"),
        ([{"step": 5}], "first_row"),
        ([{"step": 5, "first_row": 10, "hub": {}}], "files"),
    ],
)
def test_references_that_cannot_be_are_refused(references, words):
    with pytest.raises(InputError) as error:
        history_of(changed(references=references), "here")
    assert words in str(error.value)


@pytest.fixture
def run(tmp_path):
    """Files of a run with averages of steps 5 and 12."""
    save_file({f"{step}/w": np.full(3, step, np.float32) for step in (5, 12)}, tmp_path / "averages.safetensors")
    listing = {"identity": {"stage": "train"}, "files": [{"name": "averages.safetensors", "sha256": file_sha256(tmp_path / "averages.safetensors")}]}
    (tmp_path / "checkpoints.json").write_text(json.dumps(listing))
    (tmp_path / "resolved.json").write_text(json.dumps({"identity": {"stage": "resolve"}, "files": []}))
    return tmp_path


def made(run, steps=(5, 12), step=20, resolved=()):
    inputs = {"model": run / "resolved.json", "listing": [run / "checkpoints.json"], "averages": [run / "averages.safetensors"], "resolved": list(resolved)}
    if resolved:
        inputs |= {"listing": [], "averages": []}
    return history.compute(inputs, history.Settings(step=step, steps=list(steps), rows_per_step=2))["out"]


def test_what_is_made_is_read_back(run):
    value = made(run)
    assert value["references"] == VALUE["references"]
    (run / "history.json").write_text(json.dumps({"identity": {"stage": "history"}, **value}))
    assert read_history(run / "history.json").averages["sha256"] == file_sha256(run / "averages.safetensors")


@pytest.mark.parametrize("steps", [[], [12, 5], [5, 20], [0, 5]])
def test_a_reference_that_is_not_earlier_is_refused(run, steps):
    with pytest.raises(InputError, match="its step is before that of the checkpoint"):
        made(run, steps)


def test_averages_of_another_run_are_refused(run):
    save_file({"5/w": np.zeros(3, np.float32)}, run / "averages.safetensors")
    with pytest.raises(InputError, match="It is not what training wrote"):
        made(run)


def test_averages_that_training_does_not_list_are_refused(run):
    (run / "checkpoints.json").write_text(json.dumps({"identity": {"stage": "train"}, "files": []}))
    with pytest.raises(InputError, match="says None"):
        made(run)


def test_a_step_that_was_not_kept_is_refused(run):
    with pytest.raises(InputError, match="no weights of step 7"):
        made(run, [5, 7])


def released(run, step, sha256):
    path = run / f"resolved-{step}.json"
    files = [{"name": "model.safetensors", "sha256": sha256}, {"name": "config.json", "sha256": "c"}]
    path.write_text(json.dumps({"identity": {"stage": "resolve"}, "hub": {"repo": "a/b", "commit": "d"}, "files": files, "checkpoint": {"step": step}}))
    return path


def test_released_references_are_named_by_commit_and_digests(run):
    value = made(run, resolved=[released(run, 5, "five"), released(run, 12, "twelve")])
    assert [reference["files"][0]["sha256"] for reference in value["references"]] == ["five", "twelve"]
    assert value["averages"] == {}


def test_released_references_of_other_steps_are_refused(run):
    with pytest.raises(InputError, match="of step 12, wanted is 5"):
        made(run, resolved=[released(run, 12, "twelve"), released(run, 5, "five")])


def test_a_reference_that_is_the_checkpoint_or_another_reference_is_refused(run):
    with pytest.raises(InputError, match="of step 12 is also that of step 5"):
        made(run, resolved=[released(run, 5, "same"), released(run, 12, "same")])
    checkpoint = {"identity": {"stage": "resolve"}, "files": [{"name": "model.safetensors", "sha256": "last"}, {"name": "config.json", "sha256": "c"}]}
    (run / "resolved.json").write_text(json.dumps(checkpoint))
    with pytest.raises(InputError, match="of step 12 is also that of the checkpoint"):
        made(run, resolved=[released(run, 5, "five"), released(run, 12, "last")])
