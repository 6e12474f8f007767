"""What jobs ask of a cluster, against examples worked by hand, and where it comes from as a checkpoint becomes known."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from snakemake.utils import update_config

from scalebound.plan import resources
from scalebound.plan.plan import Plan
from scalebound.plan.resources import (
    DEVICE_BYTES,
    MEMORY_MB,
    MINUTES,
    MODEL_MB,
    SHORT_MINUTES,
    UNKNOWN,
    Request,
    Requests,
    model_request,
    training_request,
    transformer,
    transformer_of,
)
from scalebound.plan.run_costs import EFFICIENCY, Cost

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Results are looked for in the folder that snakemake runs in: here an empty one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(preset="config/smoke.yaml", **changes):
    value = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    update_config(value, yaml.safe_load((ROOT / preset).read_text()))
    update_config(value, changes)
    return Plan.from_configuration(value | {"checkpoints": str(ROOT / value["checkpoints"]), "published": {}})


def asked(requests, rule, **wildcards):
    found = next(declared for declared in requests.plan.rules if declared.name == rule)
    return requests.of(found, SimpleNamespace(**wildcards))


def write(path, stage, **content):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps({"identity": {"stage": stage}} | content))


def entries(parameters):
    return sum(math.prod(p["shape"]) for p in parameters)


def test_memory_and_time_double_with_each_attempt_and_gpus_do_not():
    first = Request(mem_mb=3000, minutes=60, gpus=2)
    assert first.at(1) == first
    assert first.at(2) == Request(6000, 120, 2)
    assert first.at(3) == Request(12000, 240, 2)


def scoring(device, dtype):
    return SimpleNamespace(device=device, dtype=dtype)


def test_a_worked_example_of_a_job_with_a_model():
    """30 GB to score and 90 GB to quantize; 2.16e17 operations are an hour at 0.4 of 1.5e14 a second, ten at 1.5e13."""
    cost = Cost(0, int(30e9), int(90e9), 0, 0, EFFICIENCY * 1.5e14 * 3600)
    assert model_request("score", cost, scoring("cuda", "bfloat16")) == Request(MODEL_MB + 30_000, MINUTES + 120, 1)
    # in float32, whatever scoring has
    assert model_request("compress", cost, scoring("cuda", "bfloat16")) == Request(MODEL_MB + 90_000, MINUTES + 1200, 3)
    # a block at a time is on the device
    assert model_request("quantize", cost, scoring("cuda", "bfloat16")) == Request(MODEL_MB + 90_000, MINUTES + 1200, 1)
    assert math.ceil(90e9 / DEVICE_BYTES) == 3
    assert model_request("score", cost, scoring("cuda", "float32")).minutes == MINUTES + 1200
    # without a GPU, and what never runs on one
    assert model_request("score", cost, scoring("auto", "bfloat16")).gpus == 0
    assert model_request("encode", cost, scoring("cuda", "bfloat16")).gpus == 0


def test_training_asks_for_twice_the_time_that_its_operations_take():
    """8.64e13 operations are an hour at 0.4 of 6e10 a second."""
    assert training_request(8.64e13) == Request(MEMORY_MB, MINUTES + 120)


def test_a_transformer_of_known_width_has_the_parameters_of_pythia_70m():
    """Its 70.4 million with norms and biases, which are 0.1 of them."""
    assert entries(transformer(512, 6, 50_304)) == 2 * 50_304 * 512 + 12 * 6 * 512**2
    assert entries(transformer(512, 6, 50_304)) == pytest.approx(70_426_624, rel=0.002)


@pytest.mark.parametrize(("parameters", "width"), [(1e9, 2200), (7e9, 4210), (12e9, 5040)])
def test_a_transformer_of_known_size_has_about_that_size(parameters, width):
    """Embeddings come on top, whose share falls with size."""
    found = transformer_of(parameters)
    assert found[1]["shape"][1] == pytest.approx(width, rel=0.01)
    assert 1 < (entries(found) - 2 * 50_304 * found[0]["shape"][1]) / parameters + 0.05 < 1.1


def test_jobs_that_hold_no_model_ask_for_little():
    requests = Requests(plan())
    assert asked(requests, "documents", stream="smoke-sources") == Request(MEMORY_MB, MINUTES)
    assert asked(requests, "table", family="smoke") == asked(requests, "figures", family="smoke", figure="terms") == Request(MEMORY_MB, SHORT_MINUTES)


def test_a_small_trained_model_adds_a_minute_and_a_megabyte():
    """Its settings tell all before it is there."""
    requests = Requests(plan())
    found = asked(requests, "score", family="smoke", slug="smoke-6k")
    assert (found.mem_mb, found.minutes, found.gpus) == (MODEL_MB + 1, MINUTES + 1, 0)
    assert asked(requests, "train_smoke_6k").minutes == MINUTES + 1
    assert asked(requests, "compress", family="smoke", slug="smoke-6k", quantizer="coded").minutes == MINUTES + 1


def test_codes_that_are_tuned_longer_ask_for_more_time():
    """Five hundred training runs of 4.5e9 operations each, and more on the way: minutes at 0.4 of 6e10 a second."""
    long = plan(quantizers={"coded": {"tuning": {"share_of_training": 50_000.0}}})
    assert asked(Requests(long), "compress", family="smoke", slug="smoke-6k", quantizer="coded").minutes > MINUTES + 10


def test_a_larger_model_asks_for_more_time_to_train():
    """300 million parameters by 30,720 tokens: 5.6e13 operations, 0.65 hours at 0.4 of 6e10 a second."""
    larger = plan(training={"smoke-6k": {"hidden_size": 1024, "layers": 24, "heads": 8}})
    assert asked(Requests(larger), "train_smoke_6k").minutes == pytest.approx(MINUTES + 78, abs=1)


def released(**changes):
    return plan("config/pythia.yaml", **changes)


def test_of_a_released_model_size_and_then_architecture_are_taken_as_they_become_known():
    requests, place = Requests(released()), "results/pythia/pythia-70m/resolve"
    ask = lambda: asked(requests, "score", family="pythia", slug="pythia-70m").mem_mb  # noqa: E731
    unknown = ask()
    assert unknown == pytest.approx(MODEL_MB + 2 * 1.2 * 2 * entries(UNKNOWN) / 1e6, abs=1)
    write(f"{place}/hub.json", "resolve-hub", hub={"files": [{"path": "model.safetensors", "size": 166_000_000}]})
    by_size = ask()
    assert by_size == pytest.approx(MODEL_MB + 2 * 1.2 * 2 * entries(transformer_of(83e6)) / 1e6, abs=1)
    assert by_size < unknown


def test_an_architecture_is_taken_before_the_size_of_files():
    requests, place = Requests(released()), "results/pythia/pythia-70m/resolve"
    write(f"{place}/hub.json", "resolve-hub", hub={"files": [{"path": "model.safetensors", "size": 10**12}]})
    write(f"{place}/architecture.json", "resolve", parameters=[{"name": "head", "shape": [1000, 1000], "use": "linear"}])
    # a reference stands beside it: two models of a million parameters in two bytes
    assert asked(requests, "score", family="pythia", slug="pythia-70m").mem_mb == MODEL_MB + 5


@pytest.mark.parametrize("text", ["{", "[]", '{"identity": {"stage": "resolve"}}', '{"identity": {"stage": "other"}, "parameters": []}'])
def test_a_damaged_file_is_left_to_the_job_that_needs_it(text):
    requests = Requests(released())
    expected = asked(requests, "score", family="pythia", slug="pythia-70m")
    for name in ("hub.json", "architecture.json"):
        place = Path("results/pythia/pythia-70m/resolve", name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    assert asked(requests, "score", family="pythia", slug="pythia-70m") == expected


def test_a_file_is_read_once_however_many_jobs_ask(monkeypatch):
    requests, place, read = Requests(released()), "results/pythia/pythia-70m/resolve", []
    write(f"{place}/architecture.json", "resolve", parameters=[{"name": "head", "shape": [10, 10], "use": "linear"}])
    monkeypatch.setattr(resources, "read_json", lambda path, *rest, real=resources.read_json: read.append(path) or real(path, *rest))
    for _ in range(3):
        for rule in ("score", "score_heldout", "score_calibration"):
            asked(requests, rule, family="pythia", slug="pythia-70m")
        asked(requests, "quantize", family="pythia", slug="pythia-70m", quantizer="gptq-4")
    assert read == [f"{place}/architecture.json"]


def test_gpus_are_asked_for_where_the_configuration_names_them_and_as_many_as_hold_the_model():
    write("results/pythia/pythia-12b/resolve/hub.json", "resolve-hub", hub={"files": [{"path": "model.safetensors", "size": 24 * 10**9}]})
    on_gpus, anywhere = (Requests(released(scoring={"device": device})) for device in ("cuda", "auto"))
    asked_of = {"family": "pythia", "slug": "pythia-12b", "quantizer": "gptq-4"}
    assert asked(anywhere, "quantize", **asked_of).gpus == 0
    # a block at a time is there
    assert asked(on_gpus, "quantize", **asked_of).gpus == 1
    assert asked(on_gpus, "documents", stream="python-sources").gpus == 0


def test_what_connects_stays_on_the_machine_that_runs_snakemake():
    local = {name: {rule.name for rule in made.rules if rule.local} for name, made in (("trained", plan()), ("released", released()))}
    wheels = {"fetch_corpus_smoke_sources", "fetch_corpus_python_sources"}
    assert local["trained"] - wheels == {"resolve_hub", "fetch"}
    # windows of streams on the hub are drawn by the rule that draws all others
    assert local["released"] - wheels == {"resolve_hub", "fetch", "resolve_stream", "sample"}


def test_tables_and_figures_are_a_group_and_none_of_them_is_local():
    made = plan()
    short = {rule.name for rule in made.rules if rule.group}
    assert {"table", "certificates", "figures", "scaling_law"} <= short
    assert not short & {rule.name for rule in made.rules if rule.local or rule.gpu}


def test_a_student_asks_for_the_runs_that_it_is_worth():
    """Teacher, student and drawing; to be sent with 2 bits, four candidates forwards by three models besides."""
    requests = Requests(plan(training={"smoke-6k": {"hidden_size": 1024, "layers": 24, "heads": 8}}))
    once = asked(requests, "train_smoke_6k").minutes - MINUTES
    for name, source, runs in (("teach", "rows", 5), ("send", "few", 9)):
        assert asked(requests, name, family="smoke", slug="smoke-6k", source=source).minutes - MINUTES == pytest.approx(runs * once, abs=runs)
