"""The digest that decides what reruns: blind to comments and layout, never to code that a stage can reach."""

import ast
import random
import shutil

import pytest

from scalebound.artifacts.code_digest import ROOT, closure, reached, stage_digest
from scalebound.commands import commands

STAGES = ("bound", "table", "train", "score", "quantize", "compress", "tokenize", "certify", "scaling-law", "ablate", "hessian", "resolve-hub", "figures")


@pytest.fixture
def package(tmp_path):
    return shutil.copytree(ROOT, tmp_path / "scalebound", ignore=shutil.ignore_patterns("__pycache__"))


def edited(package, module, old, new):
    path = package / module
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return package


def changed_by(package, module, old, new, stages=STAGES):
    before = {stage: stage_digest(stage, root=package) for stage in stages}
    edited(package, module, old, new)
    return {stage for stage, digest in before.items() if stage_digest(stage, root=package) != digest}


@pytest.mark.parametrize("stage", commands())
def test_every_command_has_a_digest(stage):
    assert len(stage_digest(stage)) == 64


def test_comments_docstrings_and_layout_do_not_count(package):
    before = stage_digest("bound", root=package)
    edited(package, "bounds/azuma.py", '"""mean X + D sqrt', '"""Changed. mean X + D sqrt')
    edited(package, "bounds/azuma.py", "    return ", "    # why\n\n    return  ")
    edited(package, "commands/bound.py", 'GROUP = "', 'GROUP = "other ')
    assert stage_digest("bound", root=package) == before


def test_an_edit_of_a_formula_reaches_who_uses_it(package):
    assert changed_by(package, "bounds/azuma.py", "c / 2", "c / 3") == {"bound"}


def test_an_edit_of_one_settings_model_reaches_its_stages_only(package):
    assert changed_by(package, "configuration/studies.py", "bootstrap: int = Field(200", "bootstrap: int = Field(300") == {"scaling-law"}
    assert changed_by(package, "configuration/streams.py", "row_groups: int = Field(64", "row_groups: int = Field(32") <= {"sample"}


def test_an_edit_of_one_entry_of_a_registry_reaches_who_can_take_it(package):
    assert changed_by(package, "quantization/rtn.py", "def to_integers(", "def to_integers(*_, ") == {"quantize"}


def test_an_edit_of_one_figure_reaches_that_figure_only(package):
    before = {name: stage_digest("figures", name, package) for name in ("rates", "terms")}
    edited(package, "figures/rates.py", "def draw(table):", "def draw(table, more=1):")
    assert {name for name, digest in before.items() if stage_digest("figures", name, package) != digest} == {"rates"}


def test_a_module_that_is_imported_by_a_computed_name_counts_where_nobody_says_which(package):
    assert changed_by(package, "figures/rates.py", "def draw(table):", "def draw(table, more=1):") == {"figures"}


def test_what_writes_a_table_reaches_every_table(package):
    found = changed_by(package, "artifacts/parquet.py", "def write_text_table(out, text, identity):", "def write_text_table(out, text, identity, more=1):")
    # the others share the runner that writes them
    assert found >= {"table", "scaling-law"}
    assert not found & {"train", "score", "quantize", "tokenize"}


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("print('imported')", "a statement runs when the module is imported"),
        ("for name in (1, 2):\n    LAST = name", "so does a loop"),
        ("azuma_bound.more = 1", "an attribute of what is used is set"),
        ("import numpy as np\nnp.seterr(all='raise')", "a library is told something"),
        ("@smoothed_loss\ndef another():\n    pass", "a decorator of the package may register it"),
        ("ENTRY = smoothed_loss(1, 2)", "a function of the package may register it"),
    ],
)
def test_what_runs_when_a_used_module_is_imported_counts(package, statement, reason):
    path = package / "bounds/azuma.py"
    path.write_text(path.read_text() + "\n\nfrom scalebound.bounds.smoothing import smoothed_loss\n")
    before = stage_digest("bound", root=package)
    path.write_text(path.read_text() + f"\n\n{statement}\n")
    assert stage_digest("bound", root=package) != before, reason


def test_a_definition_that_nobody_names_does_not_count(package):
    before = stage_digest("bound", root=package)
    path = package / "bounds/azuma.py"
    path.write_text(path.read_text() + "\n\nUNUSED = 3\n\n\ndef unused():\n    return UNUSED\n")
    assert stage_digest("bound", root=package) == before


LIBRARY = """
def used(x):
    return inner(x)


def inner(x):
    return x


def other(x):
    return x


class Base:
    def method(self):
        return helper()


def helper():
    return 1
"""
EDITS = {
    "used": "return inner(x)",
    "inner": "def inner(x):\n    return x",
    "other": "def other(x):\n    return x",
    "method": "return helper()",
    "helper": "return 1",
}


@pytest.mark.parametrize(
    ("use", "sees"),
    [
        ("from scalebound.library import used\n\n\ndef f():\n    return used(1)", {"used", "inner"}),
        ("from scalebound import library\n\n\ndef f():\n    return library.used(1)", {"used", "inner"}),
        ("import scalebound.library\n\n\ndef f():\n    return scalebound.library.used(1)", {"used", "inner"}),
        ("import scalebound.library as lib\n\n\ndef f(x=lib.used):\n    return x(1)", {"used", "inner"}),
        ("def f():\n    from scalebound.library import used as inside\n\n    return inside(1)", {"used", "inner"}),
        ("def f():\n    from scalebound import library\n\n    return getattr(library, 'us' + 'ed')(1)", {"used", "inner", "other", "method", "helper"}),
        ("from scalebound import library\n\nALL = [library]\n\n\ndef f():\n    return ALL[0].used(1)", {"used", "inner", "other", "method", "helper"}),
        ("from scalebound.library import Base\n\n\nclass Mine(Base):\n    pass\n\n\ndef f():\n    return Mine()", {"method", "helper"}),
        ("from scalebound.passed_on import used\n\n\ndef f():\n    return used(1)", {"used", "inner"}),
        ("from scalebound.library import used\n\nTABLE = {'a': used}\n\n\ndef f(k):\n    return TABLE[k](1)", {"used", "inner"}),
        ("import importlib\n\n\ndef f(name):\n    return importlib.import_module(name).used(1)", {"used", "inner", "other", "method", "helper"}),
    ],
)
def test_every_way_of_naming_a_definition_is_followed(tmp_path, use, sees):
    package = tmp_path / "scalebound"
    (package / "commands").mkdir(parents=True)
    for name in ("__init__.py", "commands/__init__.py"):
        (package / name).write_text("")
    (package / "library.py").write_text(LIBRARY)
    (package / "passed_on.py").write_text("from scalebound.library import used\n")
    (package / "commands/job.py").write_text(use + "\n")
    for name, text in EDITS.items():
        before = stage_digest("job", root=package)
        (package / "library.py").write_text(LIBRARY.replace(text, f"{text} + 0"))
        assert (stage_digest("job", root=package) != before) == (name in sees), name
        (package / "library.py").write_text(LIBRARY)


def definitions():
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                yield path.relative_to(ROOT).as_posix(), node.name


def test_no_definition_is_used_unseen():
    """A function that is called in what a stage reaches is one that it reaches: the text is searched, without following anything."""
    names = sorted(definitions())
    once = {name: module for module, name in names if sum(other == name for _, other in names) == 1}
    for stage in random.Random(1).sample(sorted(commands()), 12):
        found = reached(f"scalebound.commands.{stage.replace('-', '_')}")
        have = {name for _, name, _ in found}
        for _, _, text in found:
            for name in (name for name in once if f"Call(func=Name(id='{name}'" in text):
                assert name in have, f"{stage} names {name} of {once[name]} and does not reach it"


def test_imports_inside_functions_belong_to_the_closure():
    assert "scalebound.models.training" in closure("scalebound.commands.train")


def test_light_stages_do_not_depend_on_heavy_ones():
    assert not closure("scalebound.commands.bound") & {"scalebound.scoring.scoring", "scalebound.models.training", "scalebound.models.loading"}


def test_relative_imports_and_stars_are_refused(package):
    for text in ("from . import smoothing\n", "from scalebound.bounds.smoothing import *\n"):
        (package / "bounds/azuma.py").write_text(text)
        with pytest.raises(SyntaxError, match="relative imports"):
            stage_digest("bound", root=package)


def test_an_unknown_module_is_an_error(package):
    with pytest.raises(ModuleNotFoundError):
        stage_digest("nothing", root=package)
