"""The digest that decides what reruns: blind to comments and layout, never to code that a stage can reach."""

import ast
import copy
import random
import re
import shutil

import pytest

from scalebound.artifacts.code_digest import ROOT, closure, stage_digest
from scalebound.artifacts.code_effects import _VIEWS, has_effects
from scalebound.artifacts.code_package import Package
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
        (
            "import importlib\n\n\ndef f(name):\n    return importlib.import_module(f'scalebound.{name}').used(1)",
            {"used", "inner", "other", "method", "helper"},
        ),
        ("try:\n    from scalebound.library import used\nexcept ImportError:\n    used = None\n\n\ndef f():\n    return used(1)", {"used", "inner"}),
        ("def f(used):\n    return used(1)\n\n\ndef g(n):\n    return [used for used in range(n)]", set()),
        ("from scalebound.library import used\n\n\ndef f(n):\n    return [used for used in range(n)], used(1)", {"used", "inner"}),
        ("from scalebound import library\n\n\ndef f():\n    return library.missing(1)", {"used", "inner", "other", "method", "helper"}),
        ("from scalebound import library\n\n\nclass Job:\n    library: int\n    Base = 1", set()),
        ("from scalebound.library import Base\n\n\nclass Job:\n    part: 'list[Base]'", {"method", "helper"}),
        ("WAY = 'scalebound.library.used'", {"used", "inner"}),
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


STATE = {"__init__.py": "", "commands/__init__.py": "", "registry.py": "KINDS = {}\n\n\nclass Kind:\n    pass\n"}
TAKEN = "from scalebound import plugin, registry\n\n\ndef f(k):\n    return registry.KINDS[k](plugin.A)\n"


def written(root, files):
    for name, text in {**STATE, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("plugin", "new"),
    [
        ("from scalebound.registry import KINDS\n\n\ndef one():\n    return 1\n\n\nB = KINDS.setdefault('a', one)", "2"),
        ("from scalebound.registry import KINDS\n\nKINDS |= {'a': 1}", "2"),
        ("from scalebound import registry\n\nregistry.KINDS = 1", "2"),
        ("from scalebound import registry\n\n\ndef one():\n    return 1\n\n\nregistry.Kind.method = one", "2"),
        ("from scalebound import registry\n\n\ndef put(f):\n    registry.KINDS['a'] = f\n    return f\n\n\n@put\ndef one():\n    return 1", "2"),
        ("from scalebound import registry\n\n\nclass Entry:\n    def __init__(self, f):\n        registry.KINDS['a'] = f\n\n\nE = Entry(1)", "2"),
        ("from scalebound.base import Hooked\n\n\nclass Mine(Hooked):\n    x = 1", "2"),
        ("from scalebound.base import Hooked\n\n\nclass Between(Hooked):\n    pass\n\n\nclass Mine(Between):\n    x = 1", "2"),
        ("import numpy as np\n\nOLD = np.seterr(all='ignore' if 1 else 'raise')", "0"),
        ("import atexit\n\n\n@atexit.register\ndef last():\n    return 1", "2"),
        ("def put(x):\n    global A\n    A = x\n    return x\n\n\ndef one(x=put(1)):\n    return x", "2"),
        ("if 1:\n    A = 3", "2"),
        ("import torch_1", "torch_2"),
        ("C = sorted([3, 4], key=lambda x: KINDS.append(1))\nKINDS = []", "2"),
    ],
)
def test_whatever_a_module_does_when_it_is_imported_counts(tmp_path, plugin, new):
    """`f` names A alone, and what the rest of the module does to others is in what it gives."""
    base = "from scalebound.registry import KINDS\n\n\nclass Hooked:\n    def __init_subclass__(cls):\n        KINDS['a'] = cls\n"
    root = written(tmp_path / "scalebound", {"commands/job.py": TAKEN, "base.py": base, "plugin.py": f"A = 0\n{plugin}\n"})
    before = stage_digest("job", root=root)
    assert plugin.count("1") >= 1
    (root / "plugin.py").write_text(f"A = 0\n{new.join(plugin.rsplit('1', 1)) if len(new) == 1 else plugin.replace('torch_1', new)}\n")
    assert stage_digest("job", root=root) != before


@pytest.mark.parametrize(
    "other",
    [
        "def one():\n    return 1",
        "class One:\n    x: int = 1",
        "ONE = 1",
        "ONE = {'a': 1, 'b': len('c')}",
        "import dataclasses\n\n\n@dataclasses.dataclass(frozen=True)\nclass One:\n    x: int = 1\n\n\nTABLE = {'a': One(1)}",
        "import re\n\nONE = re.compile('1')",
        "def pick(x):\n    return x[0]\n\n\nONE = pick((1, 2))",
    ],
)
def test_a_definition_beside_the_one_that_is_named_does_not_count(tmp_path, other):
    root = written(tmp_path / "scalebound", {"commands/job.py": TAKEN, "plugin.py": f"A = 0\n{other}\n"})
    before = stage_digest("job", root=root)
    (root / "plugin.py").write_text(f"A = 0\n{other.replace('1', '3')}\n")
    assert stage_digest("job", root=root) == before


def test_the_order_in_which_a_name_is_bound_counts(tmp_path):
    root = written(tmp_path / "scalebound", {"commands/job.py": TAKEN, "plugin.py": "A = 1\nA = 2\n"})
    before = stage_digest("job", root=root)
    (root / "plugin.py").write_text("A = 2\nA = 1\n")
    assert stage_digest("job", root=root) != before


@pytest.mark.parametrize(
    "code",
    [
        "def f(name):\n    return importlib.import_module(name).A",
        "from importlib import import_module as load\n\n\ndef f(name):\n    return load(name).A",
        "def f(name):\n    return __import__(name).A",
        "def f(text):\n    return eval(text)",
        "def f(name):\n    return sys.modules[name].A",
        "def f():\n    return registry.Kind.__subclasses__()",
        "def f(x):\n    return x.__globals__",
    ],
)
def test_code_that_hides_what_it_reaches_is_refused(tmp_path, code):
    text = f"import importlib\nimport sys\n\nfrom scalebound import registry\n\n\n{code}\n"
    with pytest.raises(SyntaxError, match="hides which code is reached"):
        stage_digest("job", root=written(tmp_path / "scalebound", {"commands/job.py": text}))


def test_what_importing_the_package_does_is_known():
    """Each of these counts for every stage that imports the module: a new one should be meant."""
    package, found = Package(ROOT), set()
    for name in modules():
        statements = package.module(name).statements
        running = [number for number in range(len(statements)) if has_effects(package, name, statements[number])]
        found |= {(name.removeprefix("scalebound."), *package.module(name).names_of(number)) for number in running}
    assert found == {
        # what they do as a program
        ("__main__", "status", "command"),
        ("warm",),
        ("artifacts.code_effects", "_CALM"),
        ("configuration.config",),  # _SHORT's lengths
        ("configuration.config", "_SHORT"),
        # types whose words are noted for messages
        *(("configuration.types", name) for name in ("Slug", "Sha256", "Repo", "Revision")),
        *(("configuration.streams", name) for name in ("Suffix", "Distribution", "Version", "WheelFile", "PathPattern", "Column")),
        *(("configuration.checkpoints", name) for name in ("RowRevision", "Note")),
        ("figures.style",),  # which backend draws
        ("hub.revisions", "_read_small"),  # a decorator of the package
        ("hub.snapshot", "fetch"),
        # a reader of YAML, with what is added to it
        ("configuration.yaml_files", "_StrictSafeLoader"),
        ("configuration.yaml_files", "_kind"),
        # classes of torch and transformers, which may take note of their subclasses
        ("oracle.generation", "_Room"),
        ("quantization.products", "Products"),
        ("quantization.rate.sensitivity", "_Lookups"),
        ("quantization.rate.coders", "_FAMILY"),
    }


def test_methods_that_are_taken_to_look_only_are_none_of_the_package():
    names = {node.name for tree in modules().values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert names.isdisjoint(_VIEWS)


def modules():
    """{module of the package: its parsed text}."""
    paths = sorted(ROOT.rglob("*.py"))
    return {".".join(("scalebound", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): ast.parse(path.read_text()) for path in paths}


def imported(tree, known):
    """{name: (module, name there or None for a module)} of what the import statements of a tree bind, the package's own."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("scalebound"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found[alias.asname or alias.name] = (whole, None) if whole in known else (node.module, alias.name)
    return found


def surely(stage, trees):
    """{(module, name)} that a stage uses beyond doubt: through names that nothing in the same definition binds again."""
    module = f"scalebound.commands.{stage.replace('-', '_')}"
    tops = {name: {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)} for name, tree in trees.items()}
    seen, todo = set(), [(module, name) for name in tops[module]]
    while todo:
        place = todo.pop()
        if place in seen or place[1] not in tops.get(place[0], ()):
            continue
        seen.add(place)
        node, means = tops[place[0]][place[1]], imported(trees[place[0]], trees)
        again = {part.arg for part in ast.walk(node) if isinstance(part, ast.arg)}
        again |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load)}
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and part.id not in again:
                todo.append(means[part.id] if means.get(part.id, (None, None))[1] else (place[0], part.id))
            if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id not in again:
                todo += [(means[part.value.id][0], part.attr)] if means.get(part.value.id, (None, 1))[1] is None else []
    return seen


def importable(stage):
    """What the command of a stage can import, and the runner of commands that are functions of files and settings."""
    return closure(f"scalebound.commands.{stage.replace('-', '_')}") | closure("scalebound.commands.stage")


def perhaps(stage, trees):
    """Names of definitions that a stage could use by the words in its code alone, whatever they mean there."""
    module = f"scalebound.commands.{stage.replace('-', '_')}"
    words, parts = {}, [(name, node) for name in importable(stage) for node in trees[name].body]
    for _, node in parts:
        words.setdefault(getattr(node, "name", None), set()).update(re.findall(r"\w+", ast.unparse(node)))
    todo = [word for name, node in parts if name == module or not hasattr(node, "name") for word in re.findall(r"\w+", ast.unparse(node))]
    seen = set()
    while todo:
        word = todo.pop()
        if word not in seen:
            seen.add(word)
            todo += words.get(word, ())
    return seen


def mutated(tree, name):
    """The text of a module in which one definition does more."""
    tree = copy.deepcopy(tree)
    next(node for node in tree.body if getattr(node, "name", None) == name).body.append(ast.parse("_more = 1").body[0])
    return ast.unparse(ast.fix_missing_locations(tree))


def test_edits_of_any_definition_change_what_surely_uses_it_and_nothing_that_cannot(package):
    """By two searches that share nothing with the digest: one that finds too little, one that finds too much."""
    trees = modules()
    # these import by computed names (the studies of a plan, one figure of many, commands), which neither search follows
    computing = {"scalebound.plan.studies", "scalebound.commands.figures", "scalebound.audit.recompute"}
    stages = random.Random(2).sample(sorted(stage for stage in commands() if not importable(stage) & computing), 12)
    sure, possible = ({stage: search(stage, trees) for stage in stages} for search in (surely, perhaps))
    reach = {stage: importable(stage) for stage in stages}
    everything = sorted({place for places in sure.values() for place in places})
    others = sorted((name, node.name) for name, tree in trees.items() for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    before = {stage: stage_digest(stage, root=package) for stage in stages}
    counts = {"used": 0, "not": 0}
    for module, name in random.Random(3).sample(everything, 12) + random.Random(4).sample(others, 8):
        place = package.joinpath(*module.split(".")[1:])
        path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        text = path.read_text()
        path.write_text(mutated(trees[module], name))
        for stage in stages:
            changed = stage_digest(stage, root=package) != before[stage]
            if (module, name) in sure[stage]:
                assert changed, f"{stage} uses {module}.{name}"
                counts["used"] += 1
            elif module not in reach[stage] or name not in possible[stage]:
                assert not changed, f"{stage} cannot use {module}.{name}"
                counts["not"] += 1
        path.write_text(text)
    assert counts["used"] > 20, counts
    assert counts["not"] > 60, counts


def test_imports_inside_functions_belong_to_the_closure():
    assert "scalebound.models.training" in closure("scalebound.commands.train")


def test_light_stages_do_not_depend_on_heavy_ones():
    assert not closure("scalebound.commands.bound") & {"scalebound.scoring.scoring", "scalebound.models.training", "scalebound.models.loading"}


def test_relative_imports_and_stars_are_refused(package):
    for text in ("from . import smoothing\n", "from scalebound.bounds.smoothing import *\n"):
        (package / "bounds/azuma.py").write_text(text)
        with pytest.raises(SyntaxError, match="hide"):
            stage_digest("bound", root=package)


def test_an_unknown_module_is_an_error(package):
    with pytest.raises(ModuleNotFoundError):
        stage_digest("nothing", root=package)
