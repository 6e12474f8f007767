"""A run record tells how long a job took, whatever happens to the clock."""

import json
import time

from scalebound.artifacts.provenance import Recorder


def test_a_clock_that_is_set_back_makes_no_time_negative(tmp_path, monkeypatch):
    recorder = Recorder("score", [])
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    recorder.write(tmp_path / "run.json", [])
    assert 0 <= json.loads((tmp_path / "run.json").read_text())["wall_s"] < 3600
    monkeypatch.setattr(time, "time", lambda: real() - 10**9)
    assert Recorder("score", [])._before == 0
