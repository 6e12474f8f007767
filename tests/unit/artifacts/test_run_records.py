"""What jobs took, added up from records that are written here by hand."""

import json
import re

import pytest

from scalebound.artifacts.provenance import record_digest
from scalebound.artifacts.run_records import REMAKE, Cost, add_up, checkpoint_of, costs_by_stage_and_checkpoint
from scalebound.errors import InputError

JOBS = {
    # path in the results: stage, second of its start, CPU and wall seconds, MB
    "streams/text/rows/run.json": ("tokenize", 0, 8, 9, 300),
    "training/small/run.json": ("train", 10, 16, 20, 400),
    "training/large/run.json": ("train", 11, 64, 70, 500),
    "ladder/large/score/run.json": ("score", 30, 4, 5, 900),
    "ladder/small/score/run.json": ("score", 31, 2, 3, 800),
    "ladder/small/quantizers/rtn-4/score/run.json": ("score", 35, 1, 2, 850),
    "ladder/bounds.run.json": ("table", 50, 0.5, 1, 90),
    "ladder/figures/terms.run.json": ("figures", 60, 0.25, 1, 100),
}


def write(results, path, stage="score", start=0, cpu=1, wall=1, megabytes=1, **other):
    """A record at its place in a results folder; `other` are keys of other values, those of None left out."""
    record = {"stage": stage, "arguments": ["--record", f"results/{path}"], "outputs": {}, "host": "h", "platform": "p", "git": {}}
    record |= {"started": f"2026-01-01T00:00:{start:02d}.000+00:00", "cpu_s": cpu, "wall_s": wall, "peak_rss_bytes": megabytes * 10**6}
    record = {key: value for key, value in (record | other).items() if value is not None}
    (results / path).parent.mkdir(parents=True, exist_ok=True)
    (results / path).write_text(json.dumps(record | {"record_sha256": record_digest(record)}))


@pytest.fixture
def results(tmp_path):
    for path, job in JOBS.items():
        write(tmp_path / "results", path, *job)
    return tmp_path / "results"


def test_every_record_counts_once_by_stage_and_checkpoint(results):
    write(results, "crate/ladder/run.json")
    found = costs_by_stage_and_checkpoint(results)
    assert {key: cost.cpu_s for key, cost in found.items()} == {
        ("tokenize", None): 8,
        ("train", "small"): 16,
        ("train", "large"): 64,
        ("score", "large"): 4,
        ("score", "small"): 3,
        ("table", None): 0.5,
        ("figures", None): 0.25,
    }
    assert found["score", "small"] == Cost("2026-01-01T00:00:31.000+00:00", 2, 3, 5, 850 * 10**6)


def test_sums_are_in_the_order_of_the_first_start_and_memory_is_the_largest(results):
    found = costs_by_stage_and_checkpoint(results)
    stages = add_up((stage, cost) for (stage, _), cost in found.items())
    assert list(stages) == ["tokenize", "train", "score", "table", "figures"]
    assert (stages["score"].jobs, stages["score"].cpu_s, stages["score"].wall_s, stages["score"].peak_rss_bytes) == (3, 7, 10, 900 * 10**6)
    sizes = add_up((checkpoint, cost) for (_, checkpoint), cost in found.items())
    assert {checkpoint: cost.cpu_s for checkpoint, cost in sizes.items()} == {None: 8.75, "small": 19, "large": 68}


@pytest.mark.parametrize(
    ("path", "checkpoint"),
    [
        ("training/run/run.json", "run"),
        ("ladder/small/quantizers/rtn-4/score/run.json", "small"),
        ("references/org--model-step8/resolve/run.json", "org--model-step8"),
        ("streams/text/rows/run.json", None),
        ("streams/text/documents.run.json", None),
        ("ladder/config.run.json", None),
        ("ladder/figures/terms.run.json", None),
    ],
)
def test_the_checkpoint_of_a_record_is_told_by_its_place(path, checkpoint):
    assert checkpoint_of(path) == checkpoint


@pytest.mark.parametrize(
    ("other", "found"),
    [
        ({"stage": None}, "an incomplete run record: no 'stage' in it"),
        ({"cpu_s": None}, "no 'cpu_s' in it"),
        ({"peak_rss_bytes": None}, "no 'peak_rss_bytes' in it"),
        ({"cpu_s": "1"}, "cpu_s '1' is no float"),
        ({"cpu_s": float("nan")}, "cpu_s nan is no amount"),
        ({"wall_s": float("inf")}, "wall_s inf is no amount"),
        ({"cpu_s": -1.0}, "cpu_s -1.0 is no amount"),
        ({"started": 5}, "started '5' is no str"),
        ({"arguments": []}, "its arguments name no --record"),
        ({"arguments": ["--record", "record.json"]}, "written as record.json"),
    ],
)
def test_a_record_that_lacks_something_is_one_clear_error(results, other, found):
    write(results, "ladder/small/bound/run.json", **other)
    with pytest.raises(InputError, match=re.escape(f"{results}/ladder/small/bound/run.json: {found}. ")):
        costs_by_stage_and_checkpoint(results)


@pytest.mark.parametrize(("text", "found"), [("{", "not a JSON file"), ("[]", "an incomplete run record: no 'stage'"), ("[" * 10**5, "not a JSON file")])
def test_what_is_no_record_is_named(results, text, found):
    (results / "ladder/small/run.json").write_text(text)
    with pytest.raises(InputError, match=re.escape(f"{results}/ladder/small/run.json: {found}")) as caught:
        costs_by_stage_and_checkpoint(results)
    assert caught.value.remedy == REMAKE


def test_an_edited_record_is_refused(results):
    path = results / "training/large/run.json"
    path.write_text(path.read_text().replace('"cpu_s": 64', '"cpu_s": 6'))
    with pytest.raises(InputError, match="an altered run record"):
        costs_by_stage_and_checkpoint(results)


def test_a_part_of_a_results_folder_is_refused(results):
    """Stages of a checkpoint would pass for checkpoints."""
    with pytest.raises(InputError, match=r"written as results/ladder/bounds\.run\.json\. Give the whole results folder"):
        costs_by_stage_and_checkpoint(results / "ladder")


def test_a_copy_under_another_name_gives_the_same(results):
    found = costs_by_stage_and_checkpoint(results)
    assert costs_by_stage_and_checkpoint(results.rename(results.with_name("copied"))) == found


def test_no_record_at_all(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="no run record"):
            costs_by_stage_and_checkpoint(folder)
