"""Names and cells of the configuration are names: neither a path out of its folder nor a command of the shell."""

import contextlib
import csv
import json
import re

import pytest
import yaml
from hostile import ROOT, replaced, row_of_the_table
from limited import guarded, linux

from scalebound.configuration import checkpoints
from scalebound.configuration.config import parse, parse_config
from scalebound.errors import InputError
from scalebound.plan.plan import Plan

TRAVERSALS = ["..", "../x", "x/../../y", "/x", "a/b", "a\\b", ".hidden", "-x", "", " ", "a\n", "a\0", "a" * 65, "A", "é", "~root", "$HOME"]


@pytest.mark.parametrize("name", TRAVERSALS)
def test_no_name_leads_out_of_its_folder(name):
    """Families, streams, runs, quantizers and slugs are folders of results/."""
    settings = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    for key in ("families", "quantize_with"):
        with pytest.raises(InputError):
            parse_config(settings | {key: [name]})
    for key in ("streams", "training", "quantizers"):
        with pytest.raises(InputError, match=key):
            parse_config(settings | {key: settings[key] | {name: next(iter(settings[key].values()))}})
    with pytest.raises(InputError):
        parse(checkpoints.Checkpoint, row_of_the_table() | {"slug": name}, "table")


@pytest.mark.parametrize("changes", [{"repo": "a/../../x"}, {"repo": "smoke-6k/../x"}, {"revision": "step60/../../../x"}, {"revision": "step60/.."}])
def test_no_checkpoint_lies_outside_of_the_training_runs(changes):
    common, smoke = (yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()) for name in ("config", "smoke"))
    settings = {**common, **smoke, "quantizers": {**common["quantizers"], **smoke["quantizers"]}}
    Plan(parse_config(settings), checkpoints.read_table(ROOT / "config/smoke.tsv")[:1])
    with pytest.raises(InputError):
        Plan(parse_config(settings), [parse(checkpoints.Checkpoint, row_of_the_table() | changes, "table")])


METACHARACTERS = ["; touch owned", "$(touch owned)", "`touch owned`", "' touch owned '", '" && touch owned "', "a\ntouch owned", "| touch owned", "a b", "*"]


def places(value, path=()):
    """Paths of all texts in a nested configuration."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def test_no_text_of_the_configuration_but_a_path_takes_shell_metacharacters():
    settings = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    accepted = set()
    for path in places(settings):
        for text in METACHARACTERS:
            with contextlib.suppress(InputError):
                parse_config(replaced(settings, path, text))
                accepted.add(path)
    # a file name may hold any character: the next tests show that it is harmless
    assert accepted == {("checkpoints",)}


@pytest.mark.parametrize("column", checkpoints.COLUMNS)
def test_no_cell_of_the_table_takes_shell_metacharacters(tmp_path, column):
    # a folder may have blanks and letters of any language in its name, and a note is free text; the tests below show that both are quoted
    allowed = {"repo": lambda text: text in ("a b", "é"), "note": lambda text: "\n" not in text and len(text) <= 500}.get(column, lambda text: False)
    digits = ["²", "٣", "9" * 5000, "-1", "1e3"] if column in ("step", "tokens_seen") else []
    for text in [*METACHARACTERS, *digits, "é", "a" * 200_000]:
        with open(tmp_path / "table.tsv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerows([checkpoints.COLUMNS, [{**row_of_the_table(), column: text}[name] for name in checkpoints.COLUMNS]])
        if allowed(text):
            checkpoints.read_table(tmp_path / "table.tsv")
        else:
            with pytest.raises(InputError):
                checkpoints.read_table(tmp_path / "table.tsv")


@pytest.mark.parametrize("data", [b"\xff\xfe", b"slug\0\tfamily\n", b'"' * 200_000])
def test_a_table_that_is_no_text_is_refused(tmp_path, data):
    (tmp_path / "table.tsv").write_bytes(data)
    with pytest.raises(InputError):
        checkpoints.read_table(tmp_path / "table.tsv")


def test_every_value_in_a_shell_command_is_quoted():
    """Of the one command that the declared rules share, with and without threads, and of those that rule files spell out."""
    declared = {rule.shell for rule in Plan.from_configuration(yaml.safe_load((ROOT / "config/config.yaml").read_text())).rules}
    texts = {path.name: path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")}
    spelled_out = [line for text in texts.values() for line in text.splitlines() if "python -m scalebound" in line or "tee {log" in line]
    assert len(declared) == 2
    # every rule of the loop runs its declared command, and the others are those found above
    assert "shell:\n            declared.shell" in texts["jobs.smk"]
    assert sum(text.count("shell:") for text in texts.values()) - 1 <= len(spelled_out)
    values = {value for text in (*declared, *spelled_out) for value in re.findall(r"\{([^{}]*)\}", text)}
    assert {"params.words:q", "output.record:q", "log:q"} <= values
    assert {value for value in values if not value.endswith(":q")} == {"threads"}


def test_shell_metacharacters_in_a_path_are_harmless_in_a_real_run(workspace):
    name = "t; touch owned; $(touch owned) `touch owned` 'q\" && touch owned\n{wildcards} | x.tsv"
    workspace.path("config/smoke.tsv").rename(workspace.path(name))
    workspace.edit("config/smoke.yaml", "checkpoints: config/smoke.tsv", f"checkpoints: {json.dumps(name)}")
    done = workspace.snakemake("results/smoke/config.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(workspace.path("results/smoke/config.json").read_text())["config"]["checkpoints"] == name
    assert not list(workspace.folder.rglob("owned*"))


def laughing():
    """What a dozen lines of YAML with aliases are: 10**12 entries if anybody writes them out."""
    value = ["ha"] * 10
    for _ in range(11):
        value = [value] * 10
    return value


@linux
@pytest.mark.parametrize("key", ["families", "checkpoints", "streams", "training", "sampling", "quantize_with", "bound", "no such key"])
def test_a_configuration_of_many_aliases_is_refused_without_writing_them_out(key):
    settings = yaml.safe_load((ROOT / "config/config.yaml").read_text()) | {key: laughing()}
    assert guarded(lambda: parse_config(settings), seconds=5, megabytes=200) == "InputError"


@linux
def test_a_run_of_endless_checkpoints_is_refused_without_listing_them():
    settings = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    name = next(iter(settings["training"]))
    for path, number in (("steps", 10**15), ("keep_every", 1)):
        settings = replaced(settings, ("training", name, path), number)
    assert guarded(lambda: parse_config(settings), seconds=5, megabytes=200) == "InputError"
