"""The configuration's models: what they refuse, what they say, and that the stored schemas are theirs."""

import argparse
import copy
import itertools
import json
from pathlib import Path

import pytest
import yaml

from scalebound.commands.arguments import add_settings
from scalebound.commands.schema import SCHEMAS
from scalebound.configuration import checkpoints
from scalebound.configuration.config import AnyQuantizer, References, TrainingRun, parse, parse_config
from scalebound.errors import InputError
from scalebound.plan.plan import Plan

ROOT = Path(__file__).resolve().parents[3]
DEFAULT = yaml.safe_load((ROOT / "config/config.yaml").read_text())


def preset(name):
    """The default configuration with what a preset overrides, as snakemake merges them."""

    def merged(old, new):
        return {**old, **{key: merged(old.get(key, {}), value) if isinstance(value, dict) else value for key, value in new.items()}}

    return merged(DEFAULT, yaml.safe_load((ROOT / "config" / name).read_text()))


PINNED = {"the default": DEFAULT, "prose.yaml": preset("prose.yaml")}


def test_the_default_configuration_and_its_table_are_valid():
    config = parse_config(DEFAULT)
    rows = checkpoints.read_table(ROOT / config.checkpoints)
    checkpoints.check_against(checkpoints.select(rows, config.families), config)
    assert [row.slug for row in rows] == ["ladder-20k", "ladder-45k", "ladder-110k", "ladder-200k"]


def released(family, quantizer):
    """A family of released models, with certificates of a quantizer or without any."""
    own = yaml.safe_load((ROOT / "config/pythia.yaml").read_text()) | {"families": [family], "checkpoints": str(ROOT / "config/pythia.tsv")}
    own |= {"sampling": DEFAULT["sampling"], "quantize_with": ["gptq-4", "coded"], "certificate": {"quantizer": quantizer}}
    return DEFAULT | own | {name: DEFAULT[name] | own[name] for name in ("streams", "quantizers")}


@pytest.mark.parametrize(
    ("family", "row", "stream"),
    [("cerebras-gpt", "cerebras-gpt-111m", "pile-text-gpt2"), ("olmo-2", "olmo-2-1b", "olmo-mix"), ("polypythias", "pythia-70m-seed1", "pile-other-order")],
)
def test_no_certificate_is_planned_of_a_row_whose_stream_is_an_approximation(family, row, stream):
    with pytest.raises(InputError, match=rf"{family}/{row}: stream '{stream}' is an approximation .*set certificate.quantizer to null"):
        Plan.from_configuration(released(family, "coded"))
    assert Plan.from_configuration(released(family, None)).slugs()
    # the order that these saw is that of their stream
    assert Plan.from_configuration(released("pythia-deduped", "coded")).slugs()


def test_the_quantizer_of_certificates_is_run_for_the_certified_rows_alone():
    value = released("pythia", "coded") | {"certificate": {"quantizer": "coded", "checkpoints": ["pythia-160m", "pythia-70m-seed1"]}}
    plan = Plan.from_configuration(value)
    assert [row.slug for row in plan.certified_of("pythia")] == ["pythia-160m"]
    made = {job.record for job in plan.jobs_of("pythia")}
    assert [slug for slug in plan.slugs() if f"results/pythia/{slug}/quantizers/coded/encode/run.json" in made] == ["pythia-160m"]
    assert "results/pythia/pythia-12b/quantizers/gptq-4/encode/run.json" in made
    # a family of approximations has rows that are not to be certified, and no table of certificates
    other = Plan.from_configuration(value | {"families": ["cerebras-gpt"]})
    assert "results/cerebras-gpt/certificates.csv" not in other.targets()


def test_a_row_that_is_to_be_certified_and_is_not_there_is_named():
    value = released("pythia", "coded") | {"certificate": {"quantizer": "coded", "checkpoints": ["pythia-16m"]}}
    with pytest.raises(InputError, match=r"certificate\.checkpoints: 'pythia-16m' is no row of .*Did you mean pythia-1"):
        Plan.from_configuration(value)


def test_a_file_of_the_users_own_says_itself_what_may_be_certified(tmp_path):
    table = tmp_path / "rows.tsv"
    table.write_text("slug\tfamily\tsource\trepo\trevision\tstep\ttokens_seen\tstream\nmine\tmine\tlocal\tfolder\t-\t1\t4000\tbrought\n")
    brought = {"kind": "parquet", "path": "rows.parquet", "sha256": "0" * 64, "row_tokens": 17, "vocab_size": 64}
    for unbiased in (True, False):
        streams = DEFAULT["streams"] | {"brought": brought | {"unbiased": unbiased}}
        value = DEFAULT | {"families": ["mine"], "checkpoints": str(table), "streams": streams}
        if unbiased:
            assert Plan.from_configuration(value).slugs() == ["mine"]
        else:
            with pytest.raises(InputError, match="mine/mine: stream 'brought' is an approximation"):
                Plan.from_configuration(value)


RELEASED = checkpoints.read_table(ROOT / "config/pythia.tsv")


def checked(row, **changes):
    """check_against of one released row, with settings of its stream changed."""
    config = parse_config(released(row.family, None))
    stream = config.streams[row.stream].model_copy(update=changes)
    checkpoints.check_against([row], config.model_copy(update={"streams": config.streams | {row.stream: stream}}))


@pytest.mark.parametrize("row", RELEASED, ids=lambda row: row.slug)
def test_no_released_row_counts_what_it_saw_twice(row):
    """A pass has 207 B tokens on the deduplicated Pile, 3.9 T on OLMo's mix; on the Pile none of these models finished the first."""
    checked(row)
    pass_tokens = {"pile-deduped": 207e9, "olmo-mix": 3.9e12}.get(row.stream, 299_892_736_000)
    assert row.tokens_seen <= pass_tokens
    if row.slug not in ("pythia-12b-deduped", "olmo-2-1b", "olmo-2-13b"):
        # all the others stop before the end of the first pass: as many predictions as their steps made, where these are known
        assert row.tokens_seen == (parse_config(released(row.family, None)).streams[row.stream].predictions_seen(row.step) or row.tokens_seen)
        return
    assert row.tokens_seen > 0.99 * pass_tokens
    again = row.model_copy(update={"tokens_seen": row.tokens_seen + 4096})
    with pytest.raises(InputError, match=f"tokens_seen {again.tokens_seen}.*{row.tokens_seen}.*what is seen again not counted"):
        checked(again)


def test_n_follows_the_first_pass_and_nothing_else():
    row = next(row for row in RELEASED if row.slug == "pythia-12b-deduped")
    every = row.model_copy(update={"tokens_seen": row.step * 1024 * 2048})
    checked(every, first_pass_rows=None)
    with pytest.raises(InputError, match=f"tokens_seen {row.tokens_seen}.*has seen {every.tokens_seen}"):
        checked(row, first_pass_rows=None)
    # it begins to matter with the step in which it ends
    for step, seen in ((97_999, 97_999), (98_000, 98_000), (98_001, 98_000), (143_000, 98_000)):
        checked(row.model_copy(update={"step": step, "revision": f"step{step}", "tokens_seen": seen * 1024 * 2048}))


@pytest.mark.parametrize("kind", ["parquet", "hub_dataset"])
def test_rows_of_a_stream_without_an_order_are_refused_beyond_one_pass(kind):
    shape = {"kind": kind, "row_tokens": 17, "vocab_size": 64, "first_pass_rows": 250}
    own = {
        "parquet": {"path": "rows.parquet", "sha256": "0" * 64, "unbiased": True},
        "hub_dataset": {"repo": "a/b", "revision": "main", "tokenizer_repo": "a/b", "tokenizer_revision": "main", "end_of_document": 0},
    }[kind]
    config = parse_config(DEFAULT | {"streams": DEFAULT["streams"] | {"mine": shape | own}, "certificate": {"quantizer": None}})
    row = RELEASED[0].model_copy(update={"source": "local", "repo": "folder", "revision": "-", "stream": "mine", "tokens_seen": 4000})
    checkpoints.check_against([row], config)
    with pytest.raises(InputError, match=r"tokens_seen 4001\. One pass over stream 'mine' has 4000 predictions, what is seen again not counted"):
        checkpoints.check_against([row.model_copy(update={"tokens_seen": 4001})], config)


def test_whether_rows_of_a_folder_are_what_was_seen_has_to_be_said():
    own = {"kind": "megatron", "folder": "rows", "rows_per_step": 4, "row_tokens": 17, "vocab_size": 64}
    with pytest.raises(InputError, match=r"key `streams\.mine\.unbiased` is missing"):
        parse_config(DEFAULT | {"streams": DEFAULT["streams"] | {"mine": own}})
    parse_config(DEFAULT | {"streams": DEFAULT["streams"] | {"mine": own | {"unbiased": False}}})


def parameters(run, vocab_size):
    """GPT-NeoX with untied embeddings, counted by hand: two vocabularies, final norm, and a block of 12 h^2 + 13 h."""
    h = run.hidden_size
    return 2 * vocab_size * h + 2 * h + run.layers * (12 * h * h + 13 * h)


@pytest.mark.parametrize("name", PINNED)
def test_every_run_of_a_ladder_sees_twenty_tokens_per_parameter(name):
    config = parse_config(PINNED[name])
    for name, run in config.training.items():
        stream = config.streams[run.stream]
        tokens = run.steps * run.batch_rows * (stream.row_tokens - 1)
        assert tokens / parameters(run, stream.tokenizer.vocab_size) == pytest.approx(20, abs=0.02), name


@pytest.mark.parametrize("name", PINNED)
def test_every_stream_of_a_ladder_is_pinned(name):
    config = parse_config(PINNED[name])
    for run in config.training.values():
        assert config.streams[run.stream].sha256


def test_the_second_ladder_differs_from_the_first_in_its_stream_alone():
    config = parse_config(PINNED["prose.yaml"])
    rows = checkpoints.select(checkpoints.read_table(ROOT / config.checkpoints), config.families)
    checkpoints.check_against(rows, config)
    for row in rows:
        first = config.training[row.slug.replace("prose", "ladder")]
        assert config.training[row.slug] == first.model_copy(update={"stream": "documentation"})
        assert row.stream == "documentation"


def test_a_stream_that_names_no_suffixes_is_recorded_as_ever():
    streams = parse_config(PINNED["prose.yaml"]).streams
    assert streams["python-sources"].suffixes == [".py"]
    assert "suffixes" not in streams["python-sources"].model_dump(mode="json")
    assert streams["documentation"].model_dump(mode="json")["suffixes"] == [".rst", ".md", ".txt"]


def changed_quantizer(**changes):
    value = copy.deepcopy(DEFAULT)
    value["quantizers"]["q"] = {"method": "incoherent", "bits": 3, "seed": 1} | changes
    return {**value, "quantizers": {name: {k: v for k, v in q.items() if v is not None} for name, q in value["quantizers"].items()}}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"seed": None}, r"quantizers\.q\.seed` is missing"),
        ({"seed": -1}, r"quantizers\.q\.seed"),
        ({"seed": 2**32}, r"quantizers\.q\.seed"),
        ({"seed": "1"}, r"quantizers\.q\.seed"),
        ({"bits": 9}, r"quantizers\.q\.bits"),
        ({"bits": 1}, r"quantizers\.q\.bits"),
        ({"damping": 0.0}, r"quantizers\.q\.damping"),
        ({"method": "gptq"}, r"unknown key `quantizers\.q\.seed`"),
        ({"method": "quip"}, "quantizers"),
    ],
)
def test_wrong_settings_of_an_incoherent_quantizer_are_named(changes, match):
    parse_config(changed_quantizer())
    with pytest.raises(InputError, match=match):
        parse_config(changed_quantizer(**changes))


@pytest.mark.parametrize("name", SCHEMAS)
def test_stored_schemas_are_those_of_the_models(name):
    """After a change of the models: `scalebound schema --out workflow/schemas`."""
    stored = json.loads((ROOT / "workflow/schemas" / name).read_text())
    assert stored == SCHEMAS[name].model_json_schema()
    assert stored["additionalProperties"] is False


def test_every_object_of_the_schema_refuses_unknown_keys():
    schema = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())
    assert all(part.get("additionalProperties") is False for part in schema["$defs"].values() if part.get("type") == "object")


def test_an_unknown_key_is_named_with_its_value():
    value = copy.deepcopy(DEFAULT)
    value["bound"]["s_pionts"] = 10
    with pytest.raises(InputError, match=r"unknown key `bound.s_pionts` \(value 10\)"):
        parse_config(value, "config.yaml")


@pytest.mark.parametrize(
    ("section", "name", "key"), [("streams", "python-sources", "row_tokens"), ("quantizers", "gptq-4", "bits"), ("quantizers", "coded", "seed")]
)
def test_a_key_of_a_union_is_named_as_the_user_wrote_it(section, name, key):
    """Without the kind that pydantic puts behind the name."""
    value = copy.deepcopy(DEFAULT)
    value[section][name][key] = -1
    with pytest.raises(InputError, match=f"key `{section}.{name}.{key}`"):
        parse_config(value)


def test_help_names_the_keys_of_a_model_and_of_any_union():
    for model, names in ((TrainingRun, "stream, hidden_size, layers"), (AnyQuantizer, "or method, exchange, step_offsets")):
        parser = argparse.ArgumentParser()
        add_settings(parser, model)
        assert names in " ".join(parser.format_help().split())


@pytest.mark.parametrize(
    ("revision", "fits"), [("step2000", True), ("step-2000", True), ("main", True), ("stage1-step2000-tokens5B", True), ("step_1999", False)]
)
def test_a_revision_states_the_step_of_its_row(revision, fits):
    config = parse_config(released("pythia", None))
    row = next(row for row in checkpoints.read_table(config.checkpoints) if row.slug == "pythia-160m").model_copy(update={"revision": revision})
    if fits:
        checkpoints.check_against([row], config)
    else:
        with pytest.raises(InputError, match="revision 'step_1999' at step 2000"):
            checkpoints.check_against([row], config)


def test_every_problem_is_named_at_once():
    value = copy.deepcopy(DEFAULT)
    value["bound"]["s_points"] = 0
    value["scoring"]["device"] = "tpu"
    with pytest.raises(InputError) as caught:
        parse_config(value)
    assert "bound.s_points" in str(caught.value)
    assert "tpu" in str(caught.value)


@pytest.mark.parametrize("slug", ["../up", "a/b", "A", "", "x" * 65, "a b", "$(touch x)", "-x", ".x"])
def test_slugs_are_plain_names(slug):
    value = copy.deepcopy(DEFAULT)
    value["families"] = [slug]
    with pytest.raises(InputError):
        parse_config(value)


def test_kept_steps_are_powers_of_two_regular_points_and_the_last():
    run = parse_config(DEFAULT).training["ladder-20k"].model_copy(update={"steps": 70, "keep_every": 25})
    assert run.kept_steps() == [1, 2, 4, 8, 16, 25, 32, 50, 64, 70]


def references(**changes):
    run = parse_config(DEFAULT).training["ladder-20k"].model_copy(update={"steps": 1000, "batch_rows": 1, "warmup_steps": 10, "epochs": 1})
    return run.model_copy(update=changes).reference_steps()


def test_references_are_kept_at_fractions_of_the_first_pass_from_the_end_of_the_warm_up_on():
    assert references(references=References(spacing=2.0)) == [16, 31, 62, 125, 250, 500]
    assert references(references=References(spacing=2.0), warmup_steps=31) == [31, 62, 125, 250, 500]
    assert references(references=References(spacing=2.0), warmup_steps=0)[:3] == [2, 4, 8]
    # the second pass has no row that was not seen before
    assert references(references=References(spacing=2.0), epochs=4) == [16, 31, 62, 125]
    assert references(references=None) == []
    usual = references()
    assert 12 <= len(usual) <= 24
    assert all(1.1 < b / a < 1.4 for a, b in itertools.pairwise(usual))


def test_a_run_too_short_for_references_keeps_none():
    assert references(steps=1, warmup_steps=0) == references(steps=20, warmup_steps=19) == []


def test_heads_must_divide_the_width():
    value = DEFAULT["training"]["ladder-20k"] | {"heads": 3}
    with pytest.raises(InputError, match="not a multiple of heads"):
        parse(TrainingRun, value, "here")


def test_a_seed_that_is_a_string_is_refused():
    value = copy.deepcopy(DEFAULT)
    value["sampling"]["score"]["seed"] = "101"
    with pytest.raises(InputError, match=r"sampling\.score\.seed"):
        parse_config(value)


def test_a_run_like_another_has_its_settings_but_for_those_beside_it():
    """And what a user wrote is left as it was."""
    value = copy.deepcopy(DEFAULT)
    value["training"]["again"] = {"like": "ladder-20k", "seed": 7}
    before, found = copy.deepcopy(value), parse_config(value).training
    assert found["again"] == found["ladder-20k"].model_copy(update={"seed": 7})
    assert value == before


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"like": "ladder-20m"}, "training.again.like names 'ladder-20m'"),
        ({"like": "again"}, "training.again.like names 'again'"),
        ({"like": "other"}, "training.again.like names 'other'"),
        ({"like": ["ladder-20k"]}, "training.again.like names"),
        ({"like": "ladder-20k", "sede": 7}, "unknown key `training.again.sede`"),
        ({"like": "ladder-20k", "seed": "7"}, "training.again.seed"),
    ],
)
def test_a_run_like_none_that_is_written_out_is_refused(run, message):
    value = copy.deepcopy(DEFAULT)
    value["training"] |= {"again": run, "other": {"like": "ladder-20k"}}
    with pytest.raises(InputError, match=message):
        parse_config(value)


def test_the_ladder_from_three_seeds_differs_in_nothing_else():
    plan = Plan.from_configuration(preset("seeds.yaml") | {"checkpoints": str(ROOT / "config/seeds.tsv")})
    runs = {name: plan.run(name) for name in plan.runs_of("seeds")}
    assert len(runs) == 12
    for name, run in runs.items():
        assert run.model_copy(update={"seed": 1}) == runs[name.split("-seed")[0]]
    assert sorted(run.seed for run in runs.values()) == [1] * 4 + [2] * 4 + [3] * 4
