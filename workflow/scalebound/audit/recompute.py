"""Numbers again: what follows from files and settings alone is computed again by the pure function of its stage, and compared."""

import importlib
import json
import tempfile
from pathlib import Path

from scalebound.artifacts.provenance import check_keys
from scalebound.audit.findings import Finding
from scalebound.audit.identities import read_identity
from scalebound.configuration.config import parse

TOLERANCE = 1e-9  # relative, of numbers in JSON; the text of a table is the same, unless its stage says that it need not be


def recompute(job, folder):
    """(findings, note, whether anything was computed) of one job; runs in a worker process.

    A note says why a figure could not be drawn again.
    """
    stage = importlib.import_module(f"scalebound.commands.{job.stage.replace('-', '_')}")
    if job.stage == "figures":
        return _drawn_again(job, folder, stage)
    given = {name: [folder.path(path) for path in paths] if isinstance(paths, list) else folder.path(paths) for name, paths in job.given.items()}
    if not all(path.is_file() for paths in given.values() for path in (paths if isinstance(paths, list) else [paths])):
        # a table of the configuration, which is no result, need not lie beside a copy of the results
        return [], None, False
    settings = parse(stage.SETTINGS, job.settings, job.record) if stage.SETTINGS is not None else None
    names = [name for name in job.outputs if not name.endswith(".identity.json")]
    contents = stage.compute(given, settings).values()
    return [finding for name, wanted in zip(names, contents, strict=True) for finding in _compared(name, wanted, folder, stage)], None, True


def is_pure(stage):
    """Whether the outputs of a stage can be computed again."""
    return stage == "figures" or hasattr(importlib.import_module(f"scalebound.commands.{stage.replace('-', '_')}"), "compute")


def _compared(name, wanted, folder, stage):
    text = folder.path(name).read_text(encoding="utf-8")
    if isinstance(wanted, str):
        problem = _text_problem(wanted, text, getattr(stage, "TOLERANCE", 0.0))
    else:
        found = json.loads(text)
        check_keys(found, {"identity": dict}, name)
        found.pop("identity")
        problem = first_difference(wanted, found, "")
    return [Finding(name, *problem)] if problem else []


def _text_problem(wanted, found, tolerance):
    """(expected, found) of the first cell that differs."""
    for number, (left, right) in enumerate(zip(wanted.splitlines(), found.splitlines()), start=1):
        cells = [(a, b) for a, b in zip(left.split(","), right.split(",")) if not _close(a, b, tolerance)]
        if cells or left.count(",") != right.count(","):
            expected, other = cells[0] if cells else (left, right)
            return f"line {number}: {expected} (from its inputs)", other
    lines = (len(wanted.splitlines()), len(found.splitlines()))
    return None if lines[0] == lines[1] else (f"{lines[0]} lines", f"{lines[1]} lines")


def _close(left, right, tolerance):
    if left == right or not tolerance:
        return left == right
    try:
        return abs(float(left) - float(right)) <= tolerance * abs(float(left))
    except ValueError:
        return False


def first_difference(wanted, found, where):
    """(expected, found) of the first value that differs, or None."""
    if isinstance(wanted, dict):
        if not isinstance(found, dict) or set(found) != set(wanted):
            return f"{where} with {sorted(wanted)}", str(found)[:200]
        problems = (first_difference(wanted[key], found[key], f"{where}.{key}".lstrip(".")) for key in wanted)
        return next((problem for problem in problems if problem), None)
    if isinstance(wanted, list):
        if not isinstance(found, list) or len(found) != len(wanted):
            return f"{where} of {len(wanted)}", str(found)[:200]
        problems = (first_difference(left, right, f"{where}[{k}]") for k, (left, right) in enumerate(zip(wanted, found)))
        return next((problem for problem in problems if problem), None)
    number = isinstance(wanted, float) and isinstance(found, (int, float))
    same = abs(wanted - found) <= TOLERANCE * max(1.0, abs(wanted)) if number else wanted == found
    return None if same else (f"{where} {wanted} (from its inputs)", f"{found}")


def _drawn_again(job, folder, stage):
    """The same bytes, where matplotlib is the one that drew them."""
    from scalebound.figures import style

    identity = read_identity(folder.path(next(iter(job.outputs))))
    versions = {name: style.package_version(name) for name in identity["packages"]}
    if versions != identity["packages"]:
        return [], f"{next(iter(job.outputs))} not drawn again: made with {identity['packages']}, here {versions}", False
    figure, table = job.settings["figure"], folder.path(job.given["table"])
    drawn = stage.draw(stage.read_table_of(figure, table), figure, job.settings["quantizer"], table)
    with tempfile.TemporaryDirectory() as temporary:
        again = [Path(temporary) / f"again{Path(name).suffix}" for name in job.outputs]
        style.save(drawn, *again, identity)
        pairs = zip(job.outputs, again)
        return [Finding(name, "the figure of its table", "another") for name, path in pairs if path.read_bytes() != folder.path(name).read_bytes()], None, True
