"""What `make docs-results` keeps of a finished run."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs/making"))

import results

from scalebound.artifacts.provenance import file_sha256
from scalebound.errors import InputError

COMMIT = "0123456789" * 4


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder that is written, and pages that show one figure of the family."""
    page = tmp_path / "page.md"
    page.write_text("![terms](results/smoke/figures/terms.png) ![other](results/ladder/figures/rates.png)")
    monkeypatch.setattr(results, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(results, "pages", lambda: [page])
    return tmp_path / "kept/smoke"


@pytest.fixture
def jobs(finished):
    """Of the run, as if it had been made in a clone: the workspace is a copy without git."""
    found = results.read_jobs(finished.path("results"), finished.path("results/crate"))
    return [replace(job, record={**job.record, "git": {"commit": COMMIT, "clean": True}}) for job in found]


def test_tables_shown_figures_costs_and_provenance_are_kept(finished, jobs, kept):
    (kept / "figures").mkdir(parents=True)
    (kept / "figures/old.png").write_bytes(b"of an earlier run")
    results.keep(finished.path("results"), "smoke", jobs)
    names = sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file())
    tables = sorted(path.name for path in finished.path("results/smoke").glob("*.csv"))
    assert names == sorted([*tables, "costs.csv", "figures/terms.png", "provenance.json"])
    for name in (*tables, "figures/terms.png"):
        assert (kept / name).read_bytes() == finished.path("results/smoke", name).read_bytes()
    provenance = json.loads((kept / "provenance.json").read_text())
    assert provenance["commits"] == {COMMIT: len(jobs)}
    assert provenance["clean"]
    assert set(provenance["packages"]) >= {"torch", "pandas", "numpy"}
    assert {file["name"]: file["sha256"] for file in provenance["files"]} == {name: file_sha256(kept / name) for name in names if name != "provenance.json"}


def test_costs_are_those_of_the_records_split_into_default_run_and_studies(finished, jobs, kept):
    results.keep(finished.path("results"), "smoke", jobs)
    costs = pd.read_csv(kept / "costs.csv")
    assert costs["jobs"].sum() == len(jobs)
    assert costs["cpu_s"].sum() == pytest.approx(sum(job.record["cpu_s"] for job in jobs), abs=0.1 * len(costs))
    parts = costs.groupby("part")["stage"].agg(set)
    assert {"train", "quantize", "certify", "table"} <= parts["default"]
    assert {"score-trajectory", "hessian", "ablate"} <= parts["studies"] - parts["default"]


def test_a_run_without_a_commit_is_not_kept(finished, jobs, kept):
    jobs[3] = replace(jobs[3], record={**jobs[3].record, "git": {"commit": None, "clean": None, "reason": "git is not installed"}})
    with pytest.raises(InputError, match="jobs of no git checkout"):
        results.keep(finished.path("results"), "smoke", jobs)
    assert not kept.exists()


def test_a_figure_that_a_page_shows_must_have_been_made(finished, jobs, kept):
    missing = [job for job in jobs if "smoke/figures/terms.png" not in job.outputs]
    with pytest.raises(InputError, match=r"terms\.png: a page shows it"):
        results.keep(finished.path("results"), "smoke", missing)
    with pytest.raises(InputError, match=r"no family 'ladder'\. It has smoke"):
        results.keep(finished.path("results"), "ladder", jobs)


def test_an_edited_table_is_refused(finished_copy, kept, capsys, monkeypatch):
    path = finished_copy.path("results/smoke/bounds.csv")
    path.write_text(path.read_text().replace("4", "5", 1))
    monkeypatch.setattr(sys, "argv", ["results.py", str(finished_copy.path("results")), "smoke"])
    assert results.main() == 1
    assert "The file was altered" in capsys.readouterr().err
    assert not kept.exists()
