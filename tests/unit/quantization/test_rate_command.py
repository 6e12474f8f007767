"""`scalebound compress` from files to files, and the model that `decode` rebuilds from its message."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from scalebound.artifacts import atomic, windows
from scalebound.artifacts.provenance import describe_files
from scalebound.commands import compress, decode
from scalebound.errors import InputError
from scalebound.models import loading
from scalebound.models.unfinished import NOWHERE
from scalebound.quantization.message import code_length_bits
from scalebound.quantization.rate import sensitivity
from scalebound.scoring.scoring import score

SETTINGS = {"exchange": 4.0, "step_offsets": [-12, -8], "sensitivity_windows": 4, "tuning": {"share_of_training": 0.05, "learning_rate": 1e-3}}


@pytest.fixture
def arguments(saved_neox, calibration, tmp_path):
    atomic.write_json(tmp_path / "architecture.json", {"identity": {"stage": "resolve"}, **saved_neox.architecture})
    files = describe_files(saved_neox.folder, ("config.json", "model.safetensors"))
    atomic.write_json(tmp_path / "resolved.json", {"identity": {"stage": "resolve"}, "folder": str(saved_neox.folder), "files": files, "vocab_size": 40})
    for name, seed in (("calibration", 1), ("tuning", 2)):
        order = np.random.default_rng(seed).integers(0, len(calibration), 24)
        windows.write(tmp_path / f"{name}.parquet", order, calibration[order], {"stage": "sample"})
    paths = {name: tmp_path / f"{name}.parquet" for name in ("calibration", "tuning")}
    outputs = {"out": tmp_path / "codes.safetensors", "out_message": tmp_path / "model.sbq", "out_report": tmp_path / "code.json"}
    inputs = {"model": tmp_path / "resolved.json", "architecture": tmp_path / "architecture.json", "predictions": 20_000}
    return SimpleNamespace(settings=json.dumps(SETTINGS), price=None, device="cpu", threads=1, unfinished=lambda *_: NOWHERE, **inputs, **paths, **outputs)


def test_the_message_is_the_model_that_was_weighed(arguments, calibration, tmp_path):
    assert compress.run(arguments) == [arguments.out, arguments.out_message, arguments.out_report]
    report = json.loads(arguments.out_report.read_text())
    assert report["bytes"] == arguments.out_message.stat().st_size
    assert report["code_length_bits"] == code_length_bits(report["bytes"])
    decode.run(SimpleNamespace(message=arguments.out_message, architecture=arguments.architecture, out=tmp_path / "decoded"))
    import torch

    model, _ = loading.load_folder(tmp_path / "decoded", torch.device("cpu"), "float32", calibration.shape[1] - 1)
    _, tokens, _ = windows.read(arguments.calibration)
    chosen = report["candidates"][report["chosen"]]
    assert float(score(model, tokens).nll.mean()) == pytest.approx(chosen["loss"], abs=1e-5)
    assert chosen["bits"] == pytest.approx(8 * report["bytes"], abs=64)


def test_the_same_inputs_give_the_same_bytes(arguments):
    found = []
    for _ in range(2):
        compress.run(arguments)
        found.append(arguments.out_message.read_bytes())
    assert found[0] == found[1]


def test_sensitivities_are_measured_once_for_all_rates(arguments, monkeypatch):
    measured, measure = [], sensitivity.measure
    monkeypatch.setattr(sensitivity, "measure", lambda *given: measured.append(1) or measure(*given))
    compress.run(arguments)
    assert len(measured) == 1
    assert [c["tuned"] for c in json.loads(arguments.out_report.read_text())["candidates"]] == [False, False, True]


@pytest.mark.parametrize(("key", "value"), [("exchange", 0.0), ("step_offsets", []), ("rate", 1)])
def test_impossible_settings_are_refused_by_name(arguments, key, value):
    arguments.settings = json.dumps({**SETTINGS, key: value})
    with pytest.raises(InputError, match=key):
        compress.run(arguments)
