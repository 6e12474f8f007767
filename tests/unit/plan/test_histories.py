"""Which checkpoints have references, and which these are."""

from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from scalebound.configuration.config import Certificate, ReleasedSteps, parse
from scalebound.errors import InputError
from scalebound.plan.plan import Plan

ROOT = Path(__file__).resolve().parents[3]
PYTHIA = ReleasedSteps(powers_of_two_to=512, every=1000, references=12)


def plan(preset=None, **changes):
    value = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    if preset:
        update_config(value, yaml.safe_load((ROOT / f"config/{preset}.yaml").read_text()))
    value |= {"checkpoints": str(ROOT / value["checkpoints"]), "published": {}} | changes
    return Plan.from_configuration(value)


def test_released_steps_are_spread_over_their_logarithm_and_lie_before_the_row():
    assert PYTHIA.before(512) == [8, 16, 32, 64, 128, 256]
    assert PYTHIA.before(1000) == [16, 32, 64, 128, 256, 512]
    found = PYTHIA.before(143_000)
    assert len(found) == 12
    assert found[-1] == 142_000
    assert all(step % 1000 == 0 for step in found)
    assert ReleasedSteps(every=10, references=0).before(100) == ReleasedSteps(every=10).before(10) == []


def test_a_trained_run_has_its_own_averages():
    made = plan()
    row = made.row("ladder", "ladder-20k")
    found = made.history_of(row)
    assert found["steps"] == made.run("ladder-20k").reference_steps()
    assert found["rows_per_step"] == 1
    assert made.method_of(row) == "online"
    # of a checkpoint on the way, those before it
    half = row.model_copy(update={"step": 800})
    assert made.history_of(half)["steps"] == [step for step in found["steps"] if step < 800]


def test_a_released_row_has_earlier_steps_of_its_repository_and_shares_them():
    made = plan("pythia")
    row = made.row("pythia", "pythia-70m")
    references = made.references_of(row)
    assert [reference.step for reference in references] == PYTHIA.before(512)
    assert {reference.revision for reference in references} == {f"step{step}" for step in PYTHIA.before(512)}
    assert made.row("references", references[0].slug) == references[0]
    assert len({path for path in made.hub_files if "/references/" in path}) == sum(len(made.references_of(r)) for r in made.rows_of("pythia"))
    assert all(made.job(path) is not None for path in made.hub_files)


def test_without_a_known_order_or_when_none_are_asked_for_there_are_none():
    assert plan("pythia", history={}).history_of(plan("pythia").row("pythia", "pythia-70m")) is None
    made = plan("pythia", families=["cerebras-gpt"], history={"cerebras-gpt": PYTHIA.model_dump()})
    assert [made.history_of(row) for row in made.rows_of("cerebras-gpt")] == [None] * len(made.rows_of("cerebras-gpt"))
    assert {made.method_of(row) for row in made.rows_of("cerebras-gpt")} == {"geometric"}
    local = plan().row("ladder", "ladder-20k").model_copy(update={"source": "local", "revision": "-"})
    assert plan().history_of(local) is None


def test_a_family_may_not_have_the_name_of_the_folder_of_references():
    with pytest.raises(InputError, match="'references' is reserved"):
        plan(families=["references"])


def test_parts_of_the_stream_are_shares_and_the_first_is_that_of_the_certificate():
    assert parse(Certificate, {"from": [0.25, 0.5]}, "here").starts == [0.25, 0.5]
    assert parse(Certificate, {}, "here").model_dump()["from"] == [0.0]
    for wrong in ([], [1.0], [-0.1]):
        with pytest.raises(InputError):
            parse(Certificate, {"from": wrong}, "here")
