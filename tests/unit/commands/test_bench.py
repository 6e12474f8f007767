"""Benchmarks measure what they name, and say of each value whether it is as it should be. How fast this machine is, no test asks."""

import csv
import sys

import pytest

from scalebound import cli
from scalebound.benchmarks import scoring
from scalebound.benchmarks.lines import Line


def lines(tmp_path, *words):
    out = tmp_path / "bench.csv"
    assert cli.main(["bench", *words, "--out", str(out)]) == 0
    with open(out, newline="") as file:
        return {line["name"]: line for line in csv.DictReader(file)}


def test_scoring_stands_beside_the_forward_pass(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(scoring.SHAPES, "70m", (16, 1, 2, 300))
    found = lines(tmp_path, "scoring", "--shapes", "70m", "--windows", "2", "--repetitions", "1", "--device", "cpu")
    assert found["forward pass (70m, float32, cpu)"]["unit"] == "tokens/s"
    assert found["statistics / forward pass (70m, float32, cpu)"]["target"] == "<= 0.1"
    assert all(float(line["value"]) >= 0 for line in found.values())
    assert "tokens/s" in capsys.readouterr().out


def test_bounds_are_measured_in_a_process_of_their_own(tmp_path):
    found = lines(tmp_path, "bounds", "--tokens", "20480")
    assert {name.split(", ")[1] for name in found} == {"wall time", "CPU time", "most memory"}
    assert found["estimates from 0 M tokens, wall time"]["holds"] == "yes"


def test_both_loops_of_the_coder_are_measured(tmp_path):
    found = lines(tmp_path, "coder", "--weights", "8192")
    assert {name.split()[0].strip(":") for name in found} == {"encode", "decode", "meter"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems ignore limits of address space")
def test_a_model_goes_from_files_to_decoded_weights_in_limited_memory(tmp_path):
    found = lines(tmp_path, "memory", "--shape", "14m")
    assert {name.split()[0] for name in found} == {"resolve", "quantize", "encode", "decode"}
    assert {name.split(", ")[-1] for name in found} == {"CPU time", "most memory"}


def test_a_plan_is_measured_beside_as_many_empty_jobs(tmp_path, root, monkeypatch):
    monkeypatch.chdir(root)
    found = lines(tmp_path, "plan", "--steps", "1")
    (longest,) = (line for name, line in found.items() if name.endswith("longest command line"))
    assert longest["holds"] == "yes"
    assert all("8 rows" in name for name in found)


@pytest.fixture
def root():
    from pathlib import Path

    return Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(("target", "holds"), [("<= 2", True), ("<= 1.4", False), (">= 1.5", True), (">= 1.6", False), ("", None)])
def test_a_target_holds_or_does_not(target, holds):
    assert Line("a", 1.5, "s", target).holds is holds


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--windows", "0"], "Give at least two windows"), (["speed"], "no part 'speed'"), (["scoring", "--shapes", "7b"], "7b"), (["plan"], "no Snakefile in")],
)
def test_what_cannot_be_measured_is_refused(capsys, monkeypatch, tmp_path, words, said):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bench", *words]) == 1
    assert said in capsys.readouterr().err
