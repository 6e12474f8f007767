"""What a run is expected to cost, against an example worked by hand."""

from types import SimpleNamespace

import pytest
import torch

from scalebound.configuration.rate import RateSettings, Tuning
from scalebound.models.files import matrix_product_rate
from scalebound.plan.resources import transformer
from scalebound.plan.run_costs import BYTES, Work, estimate

PARAMETERS = [
    {"name": "embed", "shape": [10, 4], "use": "embedding"},  # 40 entries, looked up
    {"name": "up", "shape": [8, 4], "use": "linear"},  # 32, width 4: its inputs
    {"name": "down", "shape": [8, 4], "use": "conv1d"},  # 32, width 8: a conv1d stores its inputs first
    {"name": "norm", "shape": [4], "use": "vector"},  # 4
    {"name": "head", "shape": [10, 4], "use": "tied"},  # 40, width 4
]


def config(*methods, dtype="float32", score=3, calibration=2, certify=7):
    quantizers = {f"q{k}": method if isinstance(method, RateSettings) else SimpleNamespace(method=method) for k, method in enumerate(methods)}
    draws = {"score": score, "calibration": calibration, "certify": certify}
    sampling = SimpleNamespace(**{name: SimpleNamespace(windows=windows) for name, windows in draws.items()})
    return SimpleNamespace(quantizers=quantizers, quantize_with=list(quantizers), sampling=sampling, scoring=SimpleNamespace(dtype=dtype))


def work(settings, has_references=False, certified=False, predictions=1000):
    return Work(list(settings.quantizers), predictions, certified, has_references)


def cost_of(settings, parameters=PARAMETERS, download=0, **changes):
    return estimate(parameters, download, settings, 6, work(settings, **changes))


def test_a_worked_example():
    """148 parameters, 104 of them in matrix products; rows of 6 tokens are 5 predictions."""
    cost = cost_of(config("rtn", "gptq"), download=1000)
    assert cost.download_bytes == 1000
    # 3 windows of 5 predictions by the model itself and by two quantized ones
    assert cost.scored_tokens == 45
    # scoring 2 * 104 * 45 = 9360; GPTQ on 10 tokens: 6 * 104 * 10 = 6240, second moments 2 * (16 + 64 + 16) * 10 = 1920,
    # factors 2 * (64 + 512 + 64) = 1280
    assert cost.operations == 9360 + 6240 + 1920 + 1280
    assert cost.score_memory_bytes == int(1.2 * 4 * 148)
    # files of 2 bytes and codes of 1; as float32 embedding and head, a block of five matrices of 32, and three copies of the embedding;
    # four second moments of width 8, and states of 10 tokens and 4 numbers
    assert cost.quantize_memory_bytes == int(1.2 * (3 * 148 + 4 * (80 + 5 * 32 + 3 * 40)) + 4 * 8 * 64 + 4 * 10 * 4)
    assert cost.results_bytes == 5 * 148 * 2


def test_tuning_passes_forwards_and_back_over_its_share_of_the_training_tokens():
    coded = RateSettings(step_offsets=(-3, -1), sensitivity_windows=4, tuning=Tuning(share_of_training=0.5, batch_rows=2))
    cost = cost_of(config(coded))
    # 50 steps of 10 predictions, and 4 windows of 5 for sensitivities: 6 * 104 * 520; two rates: twice the rounding of the worked
    # example and, with the tuned one, three losses of the 10 calibration predictions
    assert cost.tuning_operations == 6 * 104 * 520 + 2 * (6240 + 1920 + 1280) + 3 * 2 * 104 * 10
    assert cost.operations == 2 * 104 * 30
    assert cost.hours(1e6, 1e3) == pytest.approx((cost.operations / 1e6 + cost.tuning_operations / 1e3) / 0.4 / 3600)
    untuned = cost_of(config(coded.model_copy(update={"tuning": Tuning()})))
    assert untuned.quantize_memory_bytes < cost.quantize_memory_bytes


@pytest.mark.parametrize(("width", "layers", "vocabulary"), [(4096, 32, 32_000), (4096, 32, 50_432)])
def test_seven_billion_parameters_are_rounded_in_64_gigabytes(width, layers, vocabulary):
    cost = estimate(transformer(width, layers, vocabulary), 0, config("gptq", calibration=128), 2049, Work(["q0"], 10**9, False, False))
    assert 25e9 < cost.quantize_memory_bytes < 50e9


def test_a_certificate_scores_a_draw_of_its_own():
    without, certified = (cost_of(config("rtn"), certified=certified, has_references=True) for certified in (False, True))
    assert certified.scored_tokens - without.scored_tokens == 35
    assert certified.operations - without.operations == 2 * (2 * 104 * 35)


def test_rounding_to_nearest_passes_no_calibration_window():
    assert cost_of(config("rtn", calibration=1)) == cost_of(config("rtn", calibration=999))


def test_a_reference_is_a_second_pass_beside_each_quantized_model():
    """3 windows of 5 predictions by two quantized models: 30 of the 45 scored tokens twice."""
    alone, beside = (cost_of(config("rtn", "rtn"), has_references=has_references) for has_references in (False, True))
    assert beside.operations - alone.operations == 2 * 104 * 30
    assert beside.score_memory_bytes == pytest.approx(2 * alone.score_memory_bytes, abs=1)


def test_half_precision_halves_the_memory_of_scoring_alone():
    full, half = (cost_of(config("gptq", dtype=dtype), PARAMETERS * 100) for dtype in BYTES)
    assert half.score_memory_bytes == pytest.approx(full.score_memory_bytes / 2, abs=1)
    assert half.quantize_memory_bytes == full.quantize_memory_bytes


def test_hours_follow_from_the_rate_that_is_reached():
    cost = cost_of(config("rtn"))
    assert cost.operations == 2 * 104 * 30
    assert cost.hours(6240 / 0.4) == pytest.approx(1 / 3600)


def test_the_rate_is_that_of_the_products_that_were_measured():
    """A product of matrices of side k is 2 k^3 operations; no processor is below a million a second or above 10^17."""
    assert 1e6 < matrix_product_rate(torch.device("cpu"), "float32", size=64, seconds=0.02) < 1e17
