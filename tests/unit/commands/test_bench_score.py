"""The scoring benchmark measures a model of the shape that it names, and says on what."""

from scalebound import cli
from scalebound.commands import bench_score


def test_it_prints_a_line_for_each_shape(monkeypatch, capsys):
    monkeypatch.setitem(bench_score.SHAPES, "70m", (16, 1, 2, 300))
    assert cli.main(["bench-score", "--shapes", "70m", "--windows", "1", "--repetitions", "1", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "tokens/s" in out
    assert "cpu, float32, 1 windows" in out


def test_a_count_below_one_is_refused(capsys):
    assert cli.main(["bench-score", "--windows", "0"]) == 1
    assert "Give at least one window" in capsys.readouterr().err
