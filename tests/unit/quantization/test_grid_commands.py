"""`scalebound quantize`, `encode` and `decode` from files to files, for every method, in the layouts of GPT-NeoX and GPT-2."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

from scalebound.artifacts import atomic, windows
from scalebound.artifacts.provenance import describe_files
from scalebound.commands import decode, encode, quantize
from scalebound.errors import InputError
from scalebound.quantization import storage
from scalebound.quantization.integers import from_matrix
from scalebound.quantization.methods import METHODS

HEADS = {"embed_out.weight", "lm_head.weight"}
SEEDS = {"incoherent": {"seed": 2**32 - 1}}


@pytest.fixture(params=["gpt_neox", "gpt2"])
def paths(request, save_model, calibration, tmp_path):
    """Arguments of the three commands on a tiny model whose width is no power of two."""
    widths = {"gpt_neox": {"hidden_size": 12, "intermediate_size": 20}, "gpt2": {"hidden_size": 12, "n_inner": 20}}[request.param]
    saved = save_model(request.param, vocab_size=61, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=16, **widths)
    atomic.write_json(tmp_path / "architecture.json", {"identity": {"stage": "resolve"}, **saved.architecture})
    files = describe_files(saved.folder, ("config.json", "model.safetensors"))
    atomic.write_json(tmp_path / "resolved.json", {"identity": {"stage": "resolve"}, "folder": str(saved.folder), "files": files, "vocab_size": 61})
    windows.write(tmp_path / "calibration.parquet", np.arange(len(calibration)), calibration, {"stage": "sample"})
    return tmp_path


def of_layers(parameters):
    """Names of the matrices of linear layers but the output head."""
    return {p["name"] for p in parameters if p["use"] in ("linear", "conv1d")} - HEADS


def run(paths, settings):
    """(report of quantize, report of encode, decoded weights, parameters)"""
    common = {"settings": json.dumps(settings), "architecture": paths / "architecture.json"}
    made = {"model": paths / "resolved.json", "calibration": paths / "calibration.parquet", "device": "cpu", "threads": 1}
    quantize.run(SimpleNamespace(**common, **made, out=paths / "codes.safetensors", out_report=paths / "quantization.json"))
    encode.run(SimpleNamespace(**common, codes=paths / "codes.safetensors", out=paths / "model.sbq", out_report=paths / "code.json"))
    decode.run(SimpleNamespace(message=paths / "model.sbq", architecture=paths / "architecture.json", out=paths / "decoded"))
    reports = [json.loads((paths / name).read_text()) for name in ("quantization.json", "code.json", "architecture.json")]
    return *reports[:2], load_file(paths / "decoded" / "model.safetensors"), reports[2]["parameters"]


@pytest.mark.parametrize("method", METHODS)
def test_the_decoded_weights_are_those_of_the_codes(paths, method):
    report, code, weights, parameters = run(paths, {"method": method, "bits": 3, **SEEDS.get(method, {})})
    tensors = storage.read(paths / "codes.safetensors")
    for parameter in parameters:
        wanted = from_matrix(tensors[parameter["name"]].dequantize(), parameter["shape"], parameter["use"])
        assert np.array_equal(weights[parameter["name"]], wanted), parameter
    used = {line["name"]: line["method"] for line in report["parameters"]}
    assert {used[name] for name in of_layers(parameters)} == {method}
    assert {used[p["name"]] for p in parameters if p["use"] in ("embedding", "vector")} == {"rtn"}
    assert (paths / "model.sbq").read_bytes()[:4] == (b"SBQ3" if method == "incoherent" else b"SBQ1")
    assert code["bytes"] == (paths / "model.sbq").stat().st_size


def test_embeddings_head_and_vectors_are_the_same_with_and_without_a_random_basis(paths):
    _, _, turned, parameters = run(paths, {"method": "incoherent", "bits": 3, "seed": 1})
    _, _, plain, _ = run(paths, {"method": "gptq", "bits": 3})
    # the head is calibrated on what comes out of other layers: it is another one, by the same method
    different = {p["name"] for p in parameters if not np.array_equal(turned[p["name"]], plain[p["name"]])}
    assert of_layers(parameters) <= different <= of_layers(parameters) | HEADS


def test_the_seed_decides(paths):
    found = [run(paths, {"method": "incoherent", "bits": 3, "seed": seed})[2] for seed in (1, 1, 2)]
    equal = [all(np.array_equal(found[0][name], other[name]) for name in found[0]) for other in found]
    assert equal == [True, True, False]


@pytest.mark.parametrize("settings", [{"method": "incoherent", "bits": 3}, {"method": "gptq", "bits": 3, "seed": 1}])
def test_a_seed_belongs_to_incoherent_quantizers_and_to_no_other(paths, settings):
    with pytest.raises(InputError, match="seed"):
        run(paths, settings)
