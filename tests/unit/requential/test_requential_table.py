"""The table of students, and what a configuration may say of them."""

from pathlib import Path

import pytest
import yaml

from scalebound.commands import requential
from scalebound.configuration.config import parse_config
from scalebound.errors import InputError
from scalebound.plan.plan import Plan
from scalebound.plan.studies.requential import students_of

ROOT = Path(__file__).resolve().parents[3]


def configuration(**requential):
    value = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    value.setdefault("studies", {})["requential"] = requential
    return value


def test_a_code_may_not_be_called_as_a_source():
    with pytest.raises(InputError, match="codes may not be called 'stream'"):
        parse_config(configuration(codes={"stream": {"bits": 2, "block": 8, "choice": "best"}}))


def test_runs_that_cannot_teach_are_left_out_and_a_family_of_such_is_told():
    value = configuration()
    value["training"]["ladder-45k"] |= {"references": None}
    plan = Plan.from_configuration(value)
    assert {slug for slug, _ in students_of(plan, "ladder")} == {"ladder-20k", "ladder-110k", "ladder-200k"}
    plan.config.training["ladder-20k"] = plan.run("ladder-20k").model_copy(update={"epochs": 3})
    assert {slug for slug, _ in students_of(plan, "ladder")} == {"ladder-110k", "ladder-200k"}
    settings = requential.Settings(checkpoints=[], paper_quantizer="gptq-4", quantizer="coded")
    with pytest.raises(InputError, match="no student"):
        requential.compute({"codes": [], "scores": [], "bounds": [], "beside": []}, settings)


def test_a_row_is_sent_by_a_code_that_there_is():
    with pytest.raises(InputError, match="sent names 'fwe', which is not among codes"):
        parse_config(configuration(sent={"ladder-45k": ["fwe"]}))


def test_a_run_that_is_sent_is_one_that_there_is():
    with pytest.raises(InputError, match="sent names 'ladder-20kk', which is not among the training runs"):
        parse_config(configuration(sent={"ladder-20kk": ["few"]}, codes={"few": {"bits": 2, "block": 8, "choice": "best"}}))


def test_every_row_has_its_sources_and_those_that_are_sent_the_codes_too():
    plan = Plan.from_configuration(configuration(sent={"ladder-45k": ["few"]}, codes={"few": {"bits": 2, "block": 8, "choice": "best"}}))
    found = students_of(plan, "ladder")
    assert ("ladder-45k", "few") in found
    assert ("ladder-20k", "few") not in found
    assert {source for _, source in found} == {"rows", "stream", "few"}
    assert len(found) == 2 * 4 + 1
    # what no code can have is in no bound
    assert {source for _, source in students_of(plan, "ladder", codes=True)} == {"rows", "few"}
