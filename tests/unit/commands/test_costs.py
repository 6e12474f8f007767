"""`scalebound costs`: the table and the figure of records that a run has left."""

import re

import pytest
from PIL import Image

from scalebound.artifacts import atomic
from scalebound.cli import main
from scalebound.figures import costs, style


@pytest.fixture
def results(tmp_path, monkeypatch):
    from scalebound.artifacts.provenance import record_digest

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def write(path, stage, cpu):
        record = {"stage": stage, "arguments": ["--record", f"results/{path}"], "outputs": {}, "host": "h", "platform": "p", "git": {}}
        record |= {"started": "2026-01-01T00:00:00.000+00:00", "cpu_s": cpu, "wall_s": 2 * cpu, "peak_rss_bytes": 10**8}
        atomic.write_json(tmp_path / "results" / path, record | {"record_sha256": record_digest(record)})

    for path, stage, cpu in (
        ("streams/text/rows/run.json", "tokenize", 10.0),
        ("training/b/run.json", "train", 1500.0),
        ("training/a/run.json", "train", 80.0),
        ("ladder/b/score/run.json", "score", 300.0),
        ("ladder/a/score/run.json", "score", 100.0),
        ("ladder/half/score/run.json", "score", 10.0),
    ):
        write(path, stage, cpu)
    for slug, size in (("a", 20_000), ("b", 110_000)):
        atomic.write_json(tmp_path / f"results/ladder/{slug}/resolve/resolved.json", {"identity": {}, "n_params": size})
    return tmp_path / "results"


def lines_of(said):
    """{first word: the others} of each line of the two tables."""
    return [{words[0]: words[1:] for line in table.splitlines() if (words := line.split())} for table in said.split("by checkpoint")]


def test_tables_by_stage_and_by_checkpoint(results, capsys):
    assert main(["costs", "results"]) == 0
    stages, checkpoints = lines_of(capsys.readouterr().out)
    assert list(stages)[2:] == ["train", "score", "tokenize", "all"]
    assert stages["train"] == ["2", "1,580.0", "79%", "3,160.0", "100"]
    assert stages["all"] == ["6", "2,000.0", "4,000.0", "100"]
    # by size; the one that is not resolved has none
    assert list(checkpoints)[1:] == ["a", "b", "half", "shared", "all"]
    assert checkpoints["b"] == ["110k", "2", "1,800.0", "90%", "3,600.0", "100"]
    assert checkpoints["half"][0] == "-"
    assert checkpoints["shared"][:2] == ["1", "10.0"]
    assert checkpoints["all"] == stages["all"]


def test_the_figure_is_drawn_in_the_format_of_its_name(results, capsys):
    assert main(["costs", "results", "--figure", "made/costs.png"]) == 0
    with Image.open("made/costs.png") as image:
        assert min(image.size) > 200
    assert main(["costs", "results", "--figure", "costs.pdf"]) == 0
    assert (results.parent / "costs.pdf").read_bytes().startswith(b"%PDF")
    assert main(["costs", "results", "--figure", "costs.gif"]) == 1
    assert "costs.gif: a figure in the format 'gif'" in capsys.readouterr().err
    assert not (results.parent / "costs.gif").exists()


def test_a_damaged_record_or_none_is_one_line(results, capsys):
    assert main(["costs", "nowhere"]) == 1
    assert re.fullmatch(r"scalebound costs: error: nowhere: no run record .*\n", capsys.readouterr().err)
    (results / "ladder/a/score/run.json").write_text("{}")
    assert main(["costs", "results"]) == 1
    assert re.fullmatch(r"scalebound costs: error: results/ladder/a/score/run\.json: .*'stage'.*\n", capsys.readouterr().err)


def drawn_bars(seconds, checkpoints):
    """{label: length} of the bars, and the words of the legend."""
    drawn = costs.draw(seconds, checkpoints, "shared")
    axes = drawn.axes[0]
    lengths = {}
    for bar in axes.patches:
        label = axes.get_yticklabels()[round(bar.get_y() + bar.get_height() / 2)].get_text()
        lengths[label] = lengths.get(label, 0.0) + bar.get_width()
    return lengths, [text.get_text() for text in drawn.legends[0].get_texts()], axes.get_xlabel()


def test_short_stages_are_one_bar_and_long_times_are_hours():
    seconds = {("train", "a"): 20 * 3600.0, ("train", "b"): 80 * 3600.0, ("score", "b"): 3600.0 * 10, ("table", "shared"): 36.0, ("sample", "a"): 36.0}
    lengths, named, unit = drawn_bars(seconds, ["a", "b", "shared"])
    assert lengths == pytest.approx({"train": 100, "score": 10, "2 other stages": 0.02})
    assert named == ["a", "b", "shared"]
    assert unit == "CPU time (hours)"


def test_a_legend_of_many_checkpoints_names_some_of_them():
    many = [f"model-{k}" for k in range(45)]
    lengths, named, unit = drawn_bars({("score", name): 1.0 for name in many}, many)
    assert lengths == pytest.approx({"score": 45})
    assert unit == "CPU time (seconds)"
    assert len(named) <= costs.NAMED + 1
    assert {many[0], many[-1]} <= set(named)


def test_a_run_that_took_no_time_is_drawn(tmp_path):
    style.save_alone(costs.draw({("score", "a"): 0.0}, ["a"], "shared"), tmp_path / "costs.svg")
    assert (tmp_path / "costs.svg").read_text().count("<svg") == 1
