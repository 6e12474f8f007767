"""The digest that decides what reruns: blind to comments and layout, never to code that a stage uses."""

import shutil

import pytest

from scalebound.artifacts.code_digest import ROOT, closure, module_digest, stage_digest
from scalebound.commands import commands


@pytest.fixture
def package(tmp_path):
    return shutil.copytree(ROOT, tmp_path / "scalebound", ignore=shutil.ignore_patterns("__pycache__"))


def edited(package, module, old, new):
    path = package / module
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return package


@pytest.mark.parametrize("stage", commands())
def test_every_command_has_a_digest(stage):
    assert len(stage_digest(stage)) == 64


def test_comments_docstrings_and_layout_do_not_count(package):
    before = stage_digest("bound", package)
    edited(package, "bounds/azuma.py", '"""mean X + D sqrt', '"""Changed. mean X + D sqrt')
    edited(package, "bounds/azuma.py", "    return ", "    # why\n\n    return  ")
    assert stage_digest("bound", package) == before


def test_an_operator_counts(package):
    before = stage_digest("bound", package)
    edited(package, "bounds/azuma.py", "c / 2", "c / 3")
    assert stage_digest("bound", package) != before


def test_only_stages_that_import_a_module_change_with_it(package):
    before = {stage: stage_digest(stage, package) for stage in ("bound", "train", "score", "quantize", "tokenize")}
    edited(package, "scoring/scoring.py", "CPU_TOKENS_PER_BATCH = 8192", "CPU_TOKENS_PER_BATCH = 4096")
    changed = {stage for stage, digest in before.items() if stage_digest(stage, package) != digest}
    assert changed == {"score", "quantize"}


def test_imports_inside_functions_belong_to_the_closure():
    assert "scalebound.models.training" in closure("scalebound.commands.train")


def test_light_stages_do_not_depend_on_heavy_ones():
    assert not closure("scalebound.commands.bound") & {"scalebound.scoring.scoring", "scalebound.models.training", "scalebound.models.loading"}


def test_a_package_init_belongs_to_its_modules():
    assert "scalebound.bounds" in closure("scalebound.bounds.azuma")


def test_relative_imports_are_refused(package):
    (package / "bounds/azuma.py").write_text("from . import smoothing\n")
    with pytest.raises(SyntaxError, match="relative imports"):
        module_digest("scalebound.bounds.azuma", package)


def test_an_unknown_module_is_an_error(package):
    with pytest.raises(ModuleNotFoundError):
        module_digest("scalebound.nothing", package)
