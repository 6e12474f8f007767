"""Tuning and the choice of rates on tiny random models of five families."""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from interrupted import ended_and_resumed

from scalebound.configuration.rate import RateSettings, Tuning
from scalebound.errors import InputError
from scalebound.models.unfinished import NOWHERE
from scalebound.quantization.rate import message, storage
from scalebound.quantization.rate.coded_tensor import CodedTensor
from scalebound.quantization.rate.compress import compress
from scalebound.quantization.rate.initial import RateRounder, Rounded
from scalebound.quantization.rate.tuning import Group, schedule, tune
from scalebound.scoring.scoring import score

PREDICTIONS, STEPS = 20_000, 30
SHARE = STEPS * 4 * 15 / PREDICTIONS
TUNED = RateSettings(
    sensitivity_windows=4, exchange=5.0, step_offsets=(-12,), tuning=Tuning(share_of_training=SHARE, batch_rows=4, learning_rate=1.4e-3, warmup_steps=3)
)


def compressed(saved, load, calibration, settings=TUNED, unfinished=NOWHERE):
    model = load(saved.folder)
    tuning = np.random.default_rng(7).permutation(np.tile(calibration, (10, 1)))
    return model, compress(model, saved.architecture["parameters"], settings, calibration, tuning, PREDICTIONS, unfinished)


def test_every_family_is_tuned_to_a_lower_price_and_survives_the_message(saved, load, calibration):
    model, found = compressed(saved, load, calibration)
    assert found.candidates[-1].tuned
    assert found.candidates[1].price < found.candidates[0].price
    assert found.chosen == 1
    back = message.decode(message.encode(found.tensors, saved.architecture)[0], saved.architecture)
    assert all(np.array_equal(back[name].dequantize(), t.dequantize()) for name, t in found.tensors.items())
    # the loss that was weighed is that of the decoded model
    assert float(score(model, calibration).nll.mean()) == pytest.approx(found.candidates[1].loss, abs=1e-5)


def test_the_same_settings_give_the_same_codes(saved_neox, load, calibration):
    first, second = (compressed(saved_neox, load, calibration)[1].tensors for _ in range(2))
    assert all(np.array_equal(first[name].codes, second[name].codes) and first[name].base == second[name].base for name in first)


@pytest.mark.parametrize("states", [1, 12, STEPS - 1])
def test_tuning_whose_process_was_ended_goes_on_to_the_same_codes_and_report(saved_neox, load, calibration, tmp_path, monkeypatch, states):
    """The price is learned anew every ten steps: some of these go on with that of a step before."""
    work = lambda unfinished: compressed(saved_neox, load, calibration, unfinished=unfinished)[1]  # noqa: E731
    found, own = ended_and_resumed(monkeypatch, tmp_path, work, states)
    undisturbed = compressed(saved_neox, load, calibration)[1]
    assert own == STEPS - states
    assert found.report() == undisturbed.report()
    for name, tensor in undisturbed.tensors.items():
        assert np.array_equal(found.tensors[name].codes, tensor.codes)
        assert found.tensors[name].base == tensor.base


def test_a_group_goes_on_with_its_own_grids_wherever_its_parameters_were_rounded_to(saved_neox, load, calibration):
    """A last bit of a sensitivity may move a row to other steps: codes and latent weights belong to those that were kept."""
    _, rounded = rounded_neox(saved_neox, load, calibration)
    name = next(n for n, r in rounded.items() if r.tensor.codes.shape[0] > 1)
    group = Group([name], "linear", [rounded[name]])
    group.quantize()
    group.learn_price()
    other = dataclasses.replace(rounded[name].tensor, row_exponents=rounded[name].tensor.row_exponents + 4)
    moved = Group([name], "linear", [dataclasses.replace(rounded[name], tensor=other)])
    moved.quantize()
    moved.restore(group.state())
    for one, expected in zip(moved.tensors().values(), group.tensors().values()):
        assert np.array_equal(one.codes, expected.codes)
        assert np.array_equal(one.row_exponents, expected.row_exponents)
        assert np.array_equal(one.dequantize(), expected.dequantize())


def test_the_report_says_what_tuning_took(saved_neox, load, calibration):
    _, found = compressed(saved_neox, load, calibration)
    report = found.report()
    assert report["tuned_tokens"] == STEPS * 4 * 15
    assert report["share_of_training"] == SHARE
    assert len(report["tuning"]) == 3


def test_the_rate_with_the_lowest_price_is_kept(saved_neox, load, calibration):
    settings = RateSettings(sensitivity_windows=4, exchange=5.0, step_offsets=(-30, -12, -6, 4))
    model, found = compressed(saved_neox, load, calibration, settings)
    prices = [c.price for c in found.candidates]
    assert found.chosen == int(np.argmin(prices))
    # those that were asked for, and what the search found beyond them
    assert len(set(prices)) == len(prices) > 4
    assert all(a.bits > b.bits for a, b in pairwise(found.candidates[:4]))
    kept = found.candidates[found.chosen]
    assert kept.price == pytest.approx(kept.loss + 5.0 * kept.bits * math.log(2) / PREDICTIONS)
    assert float(score(model, calibration).nll.mean()) == pytest.approx(kept.loss, abs=1e-6)


def test_tuning_needs_windows(saved_neox, load, calibration):
    with pytest.raises(InputError, match="no windows"):
        compress(load(saved_neox.folder), saved_neox.architecture["parameters"], TUNED, calibration, calibration[:0], PREDICTIONS)


def test_a_higher_exchange_gives_a_shorter_code(saved_neox, load, calibration):
    bits = []
    # from the same step: theory's is 8.6 quarters of an octave larger at the higher exchange
    for exchange, offset in ((2.0, -12), (40.0, -21)):
        settings = TUNED.model_copy(update={"exchange": exchange, "step_offsets": (offset,)})
        _, found = compressed(saved_neox, load, calibration, settings)
        bits.append(found.candidates[-1].bits)
    assert bits[1] < 0.95 * bits[0]


def rounded_neox(saved_neox, load, calibration):
    model = load(saved_neox.folder)
    return model, RateRounder(model, saved_neox.architecture["parameters"], TUNED, calibration).round_all(-16)


def test_no_steps_leave_the_codes_alone(saved_neox, load, calibration):
    model, rounded = rounded_neox(saved_neox, load, calibration)
    tuned, history = tune(model, saved_neox.architecture["parameters"], rounded, Tuning(), calibration, 5.0, PREDICTIONS)
    assert history == []
    assert all(np.array_equal(tuned[name].codes, r.tensor.codes) for name, r in rounded.items())


def test_gradients_pass_the_rounding_and_the_price_is_added(saved_neox, load, calibration):
    """Against autograd on the same expression, with the rounding's own derivative set to that of the identity."""
    _, rounded = rounded_neox(saved_neox, load, calibration)
    name = next(n for n, r in rounded.items() if r.tensor.codes.shape[0] > 1)
    group = Group([name], "linear", [rounded[name]])
    weights = group.quantize()
    target = torch.randn(weights.shape, generator=torch.Generator().manual_seed(1))
    (weights * target).sum().backward()
    group.learn_price()
    group.collect(0.01)
    latent, base = group.latent.detach().clone().requires_grad_(), group.base.detach().clone().requires_grad_()
    steps = group.steps * torch.exp2((base - base.detach()) / 4)
    scaled = latent / steps
    rounded_through = scaled + (torch.round(scaled) - scaled).detach()
    price = (scaled.abs() * (group.price + (scaled.detach().abs() < 1))).sum()
    ((rounded_through * steps * target).sum() + 0.01 * price).backward()
    assert torch.allclose(group.latent.grad, latent.grad, rtol=1e-4, atol=1e-6)
    assert torch.allclose(group.base.grad, base.grad, rtol=1e-3, atol=1e-4)


def test_the_price_is_near_what_the_coder_takes():
    """A matrix large enough for the adaptive coder to have learned its rows and columns."""
    rng = np.random.default_rng(3)
    shape = (128, 128)
    scales = np.exp(0.7 * rng.normal(size=(128, 1))) * np.exp(0.7 * rng.normal(size=(1, 128)))
    codes = np.rint(rng.laplace(size=shape) * scales).astype(np.int32)
    tensor = CodedTensor(codes, 0, np.zeros(128, np.int16), np.zeros(128, np.int16))
    group = Group(["w"], "linear", [Rounded(tensor, codes.astype(np.float32))])
    group.quantize()
    group.learn_price()
    coded = message.ideal_bits({"w": tensor}, [{"name": "w", "shape": list(shape), "use": "linear"}])
    assert group.bits() == pytest.approx(coded, rel=0.05)


def test_learning_rate_warms_up_and_ends_near_its_floor():
    settings = Tuning(warmup_steps=10, final_learning_rate_fraction=0.1)
    shares = [schedule(settings, 100, k) for k in range(100)]
    assert shares[0] == 0.1
    assert max(shares) == shares[9] == shares[10] == 1.0
    assert shares[-1] == pytest.approx(0.1, abs=1e-3)


def test_steps_and_rates_follow_the_training_tokens():
    settings = Tuning(share_of_training=0.25, batch_rows=2, learning_rate=0.008)
    assert settings.steps(5_312_000, 256) == round(0.25 * 5_312_000 / 512)
    assert settings.peak_learning_rate(4_000_000) == pytest.approx(0.004)


def test_storage_keeps_every_part(saved_neox, load, calibration, tmp_path):
    _, found = compressed(saved_neox, load, calibration)
    storage.write(tmp_path / "codes.safetensors", found.tensors, {"stage": "compress"})
    back = storage.read(tmp_path / "codes.safetensors")
    assert all(np.array_equal(back[name].dequantize(), t.dequantize()) and back[name].offset == t.offset for name, t in found.tensors.items())
    (tmp_path / "other.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a file of"):
        storage.read(tmp_path / "other.safetensors")
