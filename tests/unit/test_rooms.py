"""The order of the rooms of the package: who may import whom, so that what is below stays light and can be read alone."""

import ast
from pathlib import Path

import pytest

import scalebound

ROOT = Path(scalebound.__file__).parent
# from the lowest floor up: a room imports from its own floor and from those below, and rooms of one floor not in a circle
FLOORS = (
    ("errors", "progress", "counts", "bounds"),
    ("hub",),
    ("configuration",),
    ("artifacts",),
    ("models", "corpus", "laws"),
    ("scoring",),
    ("quantization", "streams"),
    ("curvature", "oracle", "requential", "figures"),
    ("plan",),
    ("benchmarks",),
    ("commands",),
    ("audit",),
    ("cli", "warm", "hub_jobs", "closing", "__main__"),
)
# commands that are the audit's own, and describing a project in another floor's words
ALLOWED = {("commands", "audit")}
HEAVY = {"torch", "transformers", "datasets", "matplotlib"}
CONNECTING = {"huggingface_hub", "httpx", "requests", "urllib.request", "http.client", "socket", "ssl", "hf_xet"}


def room(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports():
    """(file, room that imports, module that is imported) of every import statement, those inside functions too."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"scalebound.{alias.name}" for alias in node.names] if node.module == "scalebound" else [node.module]
            for name in names:
                yield path, parts[0], name


IMPORTS = list(imports())


def test_every_room_has_its_floor():
    found = {path.stem if path.is_file() else path.name for path in ROOT.iterdir() if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))}
    assert found - {"__init__"} == {name for floor in FLOORS for name in floor}


def test_rooms_import_from_below_only():
    height = {name: k for k, floor in enumerate(FLOORS) for name in floor}
    wrong = set()
    for path, own, name in IMPORTS:
        other = room(name)
        if name.startswith("scalebound.") and own in height and other in height and height[other] > height[own] and (own, other) not in ALLOWED:
            wrong.add((path.relative_to(ROOT).as_posix(), name))
    assert not wrong


def test_rooms_of_one_floor_import_each_other_in_no_circle():
    height = {name: k for k, floor in enumerate(FLOORS) for name in floor}
    sideways = {(own, room(name)) for _, own, name in IMPORTS if name.startswith("scalebound.") and own != room(name)}
    sideways = {(a, b) for a, b in sideways if a in height and b in height and height[a] == height[b]}
    assert not {(a, b) for a, b in sideways if (b, a) in sideways}


def test_only_its_own_commands_import_the_audit():
    users = {path.relative_to(ROOT).as_posix() for path, own, name in IMPORTS if name.startswith("scalebound.audit") and own != "audit"}
    assert users <= {"commands/audit.py", "commands/crate.py", "commands/release.py", "commands/why.py"}


@pytest.mark.parametrize("light", ["bounds", "artifacts", "configuration", "plan", "laws"])
def test_rooms_that_import_no_torch(light):
    """`datasets` writes windows.parquet, inside the function that needs it."""
    heavy = {(path.name, name) for path, own, name in IMPORTS if own == light and name.split(".")[0] in HEAVY}
    assert heavy <= {("windows.py", "datasets")}


def test_only_hub_and_streams_connect():
    """`paper_plan` asks for configurations, pip downloads wheels for `corpus`, provenance names its host, and a warm worker listens in a file."""
    connecting = {(path.relative_to(ROOT).as_posix(), name) for path, own, name in IMPORTS if name in CONNECTING and own not in ("hub", "streams")}
    assert connecting <= {("commands/paper_plan.py", "huggingface_hub"), ("artifacts/provenance.py", "socket"), ("warm.py", "socket")}
