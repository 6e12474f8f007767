"""A results folder of somebody else: the audit reports, and does not crash."""

import json
import re

import numpy as np
import pytest
from hostile import replaced

from scalebound import cli

CONFUSIONS = [None, "x", [], {}, [[]], {"a": []}, -1]


def places_of_json(value, path=()):
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places_of_json(inner, (*path, key))


@pytest.mark.parametrize("seed", range(8))
def test_the_audit_survives_any_altered_json(finished_copy, capsys, seed):
    """One value of every JSON artifact and record replaced by one of another kind: problems to report, not a crash."""
    rng = np.random.default_rng(seed)
    for path in sorted(finished_copy.path("results").rglob("*.json")):
        value = json.loads(path.read_text())
        spots = list(places_of_json(value))
        # half of the time a place near the top, where readers look
        near = [spot for spot in spots if 0 < len(spot) <= 3] or spots
        chosen = (near, spots)[int(rng.integers(2))]
        spot = chosen[int(rng.integers(len(chosen)))]
        # without its configuration a family is not looked at any further
        if path != finished_copy.path("results/smoke/config.json") or seed == 0:
            path.write_text(json.dumps(replaced(value, spot, CONFUSIONS[int(rng.integers(len(CONFUSIONS)))])))
    results = finished_copy.path("results")
    numbers = ["--workers", "1"] if seed == 1 else ["--hashes-only"]
    assert cli.main(["audit", str(results), "--page", str(results / "audit.html"), *numbers]) == 1
    assert "error: " in capsys.readouterr().err


def test_names_of_files_reach_the_terminal_as_text(finished_copy, capsys, monkeypatch):
    """Neither rich's markup nor control characters in a name do anything."""
    monkeypatch.setenv("COLUMNS", "60")
    names = ["[bold]a", "[", "\\[", "c\x1b[2Jd", "e\x9b2Jf", "g\nh", "i" * 150]
    for name in names:
        finished_copy.path("results", name).mkdir()
        # with the folder's name before it, `[` or `\\[` and a slash: a closing tag of the markup
        finished_copy.path("results", name, "red]").touch()
    assert cli.main(["audit", str(finished_copy.path("results")), "--no-manifest", "--hashes-only"]) == 1
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\x9b" not in said
    # names that are longer than a line are folded, not cut
    assert "i" * 150 in re.sub(r"\s", "", said)
    assert "…" not in said
