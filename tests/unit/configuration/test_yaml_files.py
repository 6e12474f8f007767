"""The configuration as people and editors write it: read as it is meant, or refused in one message that says where and what to do."""

import json
from pathlib import Path

import pytest
import yaml

from scalebound.commands.schema import SCHEMAS
from scalebound.configuration.config import parse_config
from scalebound.configuration.types import WORDS
from scalebound.configuration.yaml_files import check_files
from scalebound.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "config/config.yaml").read_text()


def parsed(*changes):
    """The default configuration with lines of it replaced, as snakemake reads it."""
    text = TEXT
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return parse_config(yaml.load(text, Loader=yaml.FullLoader))


@pytest.fixture
def check(tmp_path, monkeypatch):
    """A function that looks at a main file and at presets, each given as text or bytes."""
    monkeypatch.chdir(tmp_path)

    def look(main=TEXT, **presets):
        for name, content in {"config/config.yaml": main, **presets}.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        check_files(presets)

    return look


@pytest.mark.parametrize(("written", "value"), [("1e-2", 0.01), ("1E-2", 0.01), ("1.e-2", 0.01), (".1e-1", 0.01), ("+1e-2", 0.01), ("2e0", 2), ("1", 1)])
def test_numbers_with_an_exponent_are_numbers(written, value):
    """YAML 1.1 wants a point before an exponent and a sign in it, which nobody knows: 2e-2 reaches us as text."""
    config = parsed(("    learning_rate: 0.01\n", f"    learning_rate: {written}\n"))
    assert config.training["ladder-20k"].learning_rate == value
    assert isinstance(config.training["ladder-20k"].model_dump()["learning_rate"], (int, float))


def test_numbers_with_an_exponent_are_numbers_in_lists_and_in_every_section():
    value = yaml.safe_load(TEXT)
    value["studies"] = {"extrapolation": {"sizes": ["1e8", 2e9], "nominal_bits": "4e0"}, "ablations": {"failure_probabilities": ["1e-3"]}}
    value["quantizers"]["coded"]["tuning"] = {"share_of_training": "25e-2"}
    config = parse_config(value)
    assert config.studies.extrapolation.sizes == [1e8, 2e9]
    assert config.studies.ablations.failure_probabilities == [0.001]
    assert config.quantizers["coded"].tuning.share_of_training == 0.25


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    learning_rate: 0.01\n", '    learning_rate: "0.01"\n', r"training.ladder-20k.learning_rate`: write a number, without quotes, found '0.01'"),
        ("    learning_rate: 0.01\n", "    learning_rate: 0,01\n", "learning_rate`: write a number"),
        ("    learning_rate: 0.01\n", "    learning_rate: 1e400\n", "learning_rate`: Input should be a finite number, found inf"),
        ("    learning_rate: 0.01\n", "    learning_rate: .inf\n", "learning_rate`: Input should be a finite number"),
        ("    learning_rate: 0.01\n", "    learning_rate: .nan\n", "learning_rate`: Input should be a finite number"),
        ("    learning_rate: 0.01\n", "    learning_rate: yes\n", "learning_rate`: write a number, without quotes, found True"),
        ("    learning_rate: 0.01\n", "    learning_rate:\n", r"learning_rate`: it is empty \(null\): give it a value, or leave the key out\. See"),
        ("    steps: 1539\n", "    steps: 1e3\n", "steps`: write a whole number, without point, exponent and quotes, found '1e3'"),
        ("    steps: 1539\n", "    steps: 1539.0\n", "steps`: write a whole number"),
        ("    steps: 1539\n", '    steps: "1539"\n', "steps`: write a whole number"),
        ("families: [ladder]", "families: [no]", "families.0`: YAML reads it as a number, date or truth value: put it in quotes, found False"),
        ("families: [ladder]", "families: [2024-01-01]", "families.0`: YAML reads it as a number, date"),
        ("        version: 1.14.0\n", "        version: 1.14\n", "wheels.1.version`: YAML reads it as a number.*put it in quotes, found 1.14"),
        ("families: [ladder]", "families: [Ladder]", "families.0`: write at most 64 lower-case letters"),
        ("checkpoints: config/checkpoints.tsv", "checkpoints:", r"checkpoints`: it is empty \(null\)"),
        ("families: [ladder]", "families:", r"families`: it is empty \(null\)"),
    ],
)
def test_a_value_that_yaml_reads_otherwise_is_one_message(old, new, message):
    with pytest.raises(InputError, match=message):
        parsed((old, new))


@pytest.mark.parametrize("section", ["studies", "bound", "training", "sampling", "streams", "hub"])
def test_an_empty_section_is_one_message(section):
    with pytest.raises(InputError, match=rf"key `{section}`: it is empty \(null\): give it a value, or leave the key out\. See"):
        parse_config(yaml.safe_load(TEXT) | {section: None})


def patterns(schema):
    """Every pattern of a JSON schema."""
    if isinstance(schema, dict):
        yield from ([schema["pattern"]] if isinstance(schema.get("pattern"), str) else [])
        for part in schema.values():
            yield from patterns(part)
            # of the keys of a dictionary
        yield from schema.get("patternProperties", {})
    elif isinstance(schema, list):
        for part in schema:
            yield from patterns(part)


@pytest.mark.parametrize("name", SCHEMAS)
def test_no_message_shows_a_regular_expression(name):
    found = set(patterns(SCHEMAS[name].model_json_schema()))
    assert len(found) >= 3
    assert found <= set(WORDS)


PATHS = ["modèles/é", "模型", "a b", "a=b", "a[1] (2)", "a,b+c@d!e#f%20", "R:/x", "../up", "/data/x/", "a^b~"]


@pytest.mark.parametrize("path", PATHS)
def test_paths_may_hold_what_rules_can_quote(path):
    value = yaml.safe_load(TEXT) | {"published": {"ladder": path}}
    assert parse_config(value).published == {"ladder": path}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("a{k}", "snakemake would take { } for a wildcard: rename the file or folder, or name a link to it, found 'a{k}'"),
        ("a}", "snakemake would take } for a wildcard"),
        *((f"a{mark}b", f"a path may not hold {mark}, which mean something to a shell") for mark in "$`;&|<>*?"),
        ("a\nb", "line breaks, tabs or invisible characters"),
        ("a\u202eb", "line breaks, tabs or invisible characters"),
        ("-rf", "may not begin with `-` or `~`"),
        ("~/models", "may not begin with `-` or `~`"),
        (" a", "nor begin or end with a blank"),
        ("a ", "nor begin or end with a blank"),
        ("https://host/x", "this is an address: name a file or folder of this machine"),
        ("", "at least 1 character"),
        ("a" * 1025, "at most 1024 characters"),
    ],
)
def test_other_paths_are_refused_in_words(path, words):
    with pytest.raises(InputError) as caught:
        parse_config(yaml.safe_load(TEXT) | {"published": {"ladder": path}})
    assert "key `published.ladder`: " in str(caught.value)
    assert words in str(caught.value)


def test_files_that_are_right_are_left_alone(check):
    check(**{"preset.yaml": (ROOT / "config/pythia.yaml").read_text(), "preset.json": json.dumps({"families": ["x"]}, indent="\t")})
    # a mark of Windows editors at the beginning, and its ends of lines
    check(main=b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    check(main="base: &base {a: 1}\nother:\n  <<: *base\n  a: 2\n")
    check(main='seed: 1_000\nzero: 0\nshare: 0.5\nname: "010"\ntime: "1:30"\nhex: 0x10\n')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", r"config/config.yaml, line 3: key 'a' occurs a second time, first in line 1"),
        ("x:\n  a: 1\n  b: {c: 1, c: 2}\n", r"line 3: key 'c' occurs a second time"),
        ("a: 1\nb:\n\tc: 2\n", r"line 3: .*Correct the file; indent by blanks, not by tabs"),
        ("a: [1, 2\nb: 3\n", r"line 2: "),
        ("a: b: c\n", r"line 1: mapping values are not allowed here"),
        ("seed: 010\n", r"line 1: 010 is 8 to YAML"),
        ("seed: -017\n", r"line 1: -017 is -15 to YAML"),
        ("seed: 1:30\n", r"line 1: 1:30 is 90 to YAML"),
        ("share: 1:30.5\n", r"line 1: 1:30.5 is 90.5 to YAML"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', r"config/config.yaml: key 'c' occurs twice in one section"),
        ("a: !!python/object/apply:os.system [ls]\n", r"line 1: could not determine a constructor"),
        ("a: \0\n", r"config/config.yaml: no YAML"),
        (b"# Th\xe9\na: 1\n", r"not in UTF-8 \(byte 5 belongs to another encoding\). Save it as UTF-8"),
        ("a: 1\n".encode("utf-16"), r"not in UTF-8 \(UTF-16\). Save it as UTF-8"),
    ],
)
def test_what_yaml_takes_for_something_else_is_one_message(check, text, message):
    with pytest.raises(InputError, match=message):
        check(main=text)


def test_presets_are_looked_at_too(check):
    with pytest.raises(InputError, match=r"preset.yaml, line 2: key 'families' occurs a second time"):
        check(**{"preset.yaml": "families: [a]\nfamilies: [b]\n"})


def test_a_folder_that_is_no_project_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"{tmp_path}: no config/config.yaml in it. Run snakemake in the folder of the project"):
        check_files([ROOT / "config/smoke.yaml"])
