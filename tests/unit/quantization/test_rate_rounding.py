"""Steps by sensitivity and rounding on unbounded grids, against direct computations."""

import math

import numpy as np
import pytest
import torch

from scalebound.configuration.rate import RateSettings
from scalebound.quantization.rate import initial, sensitivity
from scalebound.quantization.rate.exponents import split_exponents
from scalebound.quantization.rate.initial import RateRounder, theoretical_exponent
from scalebound.quantization.rate.rounding import Order
from scalebound.quantization.rate.steps import exponents, step_sizes
from scalebound.scoring.scoring import score

SETTINGS = RateSettings(exchange=6.5, sensitivity_windows=4, exponent_stride=1)


def moments(columns, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(500, columns, generator=generator, dtype=torch.float64) @ torch.randn(columns, columns, generator=generator, dtype=torch.float64)
    return inputs.T @ inputs / 500


def output_error(weights, codes, steps, hessian):
    error = weights - codes * steps
    return float((error @ hessian * error).sum())


def test_step_sizes_are_powers_of_the_fourth_root_of_two():
    k = np.arange(-40, 41)
    assert np.allclose(step_sizes(k), 2.0 ** (k / 4), rtol=1e-7)
    assert (exponents(step_sizes(k)) == k).all()


def test_errors_that_are_fed_forward_cost_less_than_rounding_to_nearest():
    generator = torch.Generator().manual_seed(1)
    weights, hessian = torch.randn(24, 40, generator=generator, dtype=torch.float64), moments(40, 2)
    steps = torch.full((24, 40), 0.5, dtype=torch.float64)
    codes, latent = Order.of(hessian, 0.01).round(weights, steps)
    assert output_error(weights, codes, steps, hessian) < 0.7 * output_error(weights, torch.round(weights / 0.5), steps, hessian)
    assert torch.equal(torch.round(latent / steps), codes)


def test_one_column_after_the_other_matches_a_direct_solution():
    """Each column's error is taken up by least squares on the columns still to come."""
    generator = torch.Generator().manual_seed(3)
    weights, hessian = torch.randn(3, 5, generator=generator, dtype=torch.float64), moments(5, 4)
    damped = hessian + 0.01 * hessian.diagonal().mean() * torch.eye(5, dtype=torch.float64)
    order = torch.argsort(hessian.diagonal(), descending=True, stable=True).tolist()
    expected, rest = weights.clone(), list(order)
    codes = torch.empty_like(weights)
    for j in order:
        rest.remove(j)
        codes[:, j] = torch.round(expected[:, j] / 0.3)
        error = expected[:, j] - codes[:, j] * 0.3
        if rest:
            expected[:, rest] += error[:, None] * torch.linalg.solve(damped[rest][:, rest], damped[rest, j])
    found, _ = Order.of(hessian, 0.01).round(weights, torch.full((3, 5), 0.3, dtype=torch.float64))
    assert torch.equal(found, codes)


def test_a_column_without_inputs_is_rounded_to_nearest_and_its_step_may_be_the_largest():
    weights, hessian = torch.randn(4, 12, generator=torch.Generator().manual_seed(5), dtype=torch.float64), moments(12, 6)
    hessian[3, :] = hessian[:, 3] = 0
    order, heard = Order.of(hessian, 0.01), [k for k in range(12) if k != 3]
    steps = torch.full((4, 12), 0.4, dtype=torch.float64)
    codes, _ = order.round(weights, steps)
    assert torch.equal(codes[:, 3], torch.round(weights[:, 3] / 0.4))
    assert int(order.deviations().argmax()) == 3
    alone = Order.of(hessian[heard][:, heard], 0.01)
    assert torch.equal(codes[:, heard], alone.round(weights[:, heard], steps[:, heard])[0])
    torch.testing.assert_close(order.deviations()[heard], alone.deviations())


def test_split_exponents_keep_the_product_of_row_and_column_sizes():
    rows, columns = np.exp(np.linspace(-1, 1, 9)), np.exp(np.linspace(-2, 1, 7))
    base, r, c = split_exponents(rows, columns, 3, 1)
    wanted = 4 * np.log2(rows[:, None] * columns[None]) + 3
    assert np.abs(base + r[:, None] + c[None] - wanted).max() <= 1.0
    base, r, c = split_exponents(rows, columns, 0, 0)
    assert not r.any()
    assert not c.any()


def test_the_step_of_theory_balances_rate_and_loss():
    """d/dlog(step) of step^2/24 is exchange / predictions, to within half a quarter of an octave."""
    step = 2 ** (theoretical_exponent(8.0, 100_000) / 4)
    assert abs(math.log2(step**2 / 12 / (8.0 / 100_000))) <= 0.25 + 1e-9


def test_sensitivities_are_those_of_single_tokens(saved_neox, load, calibration):
    """The Fisher information of a bias, over sampled labels: E[(p - label)^2] of the head's outputs is p (1 - p)."""
    model = load(saved_neox.folder)
    tokens = np.tile(calibration, (40, 1))
    found = sensitivity.measure(model, tokens, seed=5)
    with torch.no_grad():
        p = model(torch.as_tensor(calibration)).logits.softmax(-1).double().flatten(0, 1)
    expected = (p * (1 - p)).mean(0)
    # the gradient of a token's loss by its logits; 480 windows of 16 tokens leave a few percent of noise
    (head,) = (name for name, weight in model.named_parameters() if weight is model.get_output_embeddings().weight)
    assert float(found.outputs[head].sum() / expected.sum()) == pytest.approx(1, abs=0.05)
    counts = np.bincount(calibration.reshape(-1), minlength=61) / calibration.size
    (name,) = found.frequencies
    assert np.allclose(found.frequencies[name].numpy(), counts)
    assert set(found.gradients) == {name for name, p in model.named_parameters() if p.ndim == 1}


def test_every_family_is_rounded_whole_and_finer_steps_lose_less(saved, load, calibration):
    losses = []
    reference = score(load(saved.folder), calibration).nll.mean()
    for exponent in (-40, -16):
        model = load(saved.folder)
        rounded = RateRounder(model, saved.architecture["parameters"], SETTINGS, calibration).round_all(exponent)
        assert list(rounded) == [p["name"] for p in saved.architecture["parameters"]]
        losses.append(abs(float(score(model, calibration).nll.mean() - reference)))
    assert losses[0] < 0.005
    assert losses[0] < losses[1]


def test_each_rounding_begins_with_the_same_weights(saved, load, calibration):
    """What was measured is shared; nothing of one rounding is left in the next."""
    rounder = RateRounder(load(saved.folder), saved.architecture["parameters"], SETTINGS, calibration)
    rounder.round_all(-40)
    again = rounder.round_all(-16)
    alone = RateRounder(load(saved.folder), saved.architecture["parameters"], SETTINGS, calibration).round_all(-16)
    for name, one in again.items():
        assert np.array_equal(one.tensor.codes, alone[name].tensor.codes)
        assert np.array_equal(one.latent, alone[name].latent)
        assert (one.tensor.base, one.tensor.offset) == (alone[name].tensor.base, alone[name].tensor.offset)


def test_the_model_holds_what_the_codes_stand_for(saved, load, calibration):
    model = load(saved.folder)
    rounded = RateRounder(model, saved.architecture["parameters"], SETTINGS, calibration).round_all(-24)
    other = load(saved.folder)
    weights = dict(other.named_parameters())
    for parameter in saved.architecture["parameters"]:
        initial.assign(weights[parameter["name"]], rounded[parameter["name"]].tensor, parameter)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters()))


def test_centring_the_head_changes_no_probability(saved, load, calibration):
    model = load(saved.folder)
    before = score(model, calibration)
    rounder = RateRounder(model, saved.architecture["parameters"], SETTINGS, calibration)
    head = model.get_output_embeddings().weight
    tied = head is model.get_input_embeddings().weight
    assert rounder.centre_head() == (not tied)
    assert np.allclose(score(model, calibration).nll, before.nll, atol=1e-4)
    assert tied or float(head.mean(0).abs().max()) < 1e-6
