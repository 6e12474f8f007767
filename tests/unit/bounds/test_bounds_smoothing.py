"""Prediction smoothing against values worked out by hand, and the closed form against a numerical minimum."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from scalebound.bounds import smoothing

C_VALUES = np.geomspace(1e-12, 1e4, 400)


def test_smoothed_loss_of_a_likely_token():
    # p = 0.9, a = 0.1, V = 10: -log(0.9 * 0.9 + 0.1 / 10) = -log 0.82
    assert smoothing.smoothed_loss(-math.log(0.9), 0.1, 10) == pytest.approx(0.19845093872383825, rel=1e-14)


def test_smoothed_loss_of_the_uniform_model_is_unchanged():
    assert smoothing.smoothed_loss(math.log(4), 0.5, 4) == pytest.approx(2 * 0.6931471805599453, rel=1e-14)


def test_smoothed_loss_of_a_certain_token_is_the_least():
    # -log(1 - a + a / V) = -log 0.91
    assert smoothing.smoothed_loss(0.0, 0.1, 10) == pytest.approx(0.09431067947124133, rel=1e-13)


@pytest.mark.parametrize("nll", [60.0, 800.0, np.inf])
def test_smoothed_loss_of_an_impossible_token_is_the_worst_case(nll):
    # exp(-800) is no float, yet the answer is log(V / a) = log 100
    assert smoothing.smoothed_loss(nll, 0.1, 10) == pytest.approx(4.605170185988092, rel=1e-14)


def test_smoothed_probabilities_sum_to_one():
    p = np.array([0.7, 0.2, 0.06, 0.04])
    assert np.exp(-smoothing.smoothed_loss(-np.log(p), 0.3, 4)).sum() == pytest.approx(1, rel=1e-14)


def test_smoothed_loss_keeps_shape_and_order():
    nll = np.linspace(0, 30, 12).reshape(3, 4)
    losses = smoothing.smoothed_loss(nll, 0.05, 100)
    assert losses.shape == (3, 4)
    assert (np.diff(losses.ravel()) > 0).all()


@settings(deadline=None, derandomize=True)
@given(st.floats(0, 1e4), st.floats(1e-9, 0.999), st.integers(2, 200_000))
def test_smoothed_loss_is_below_both_of_its_bounds_and_above_the_least(nll, alpha, vocab_size):
    loss = float(smoothing.smoothed_loss(nll, alpha, vocab_size))
    slack = 1e-13 * (1 + abs(nll))
    assert loss <= nll - math.log1p(-alpha) + slack
    assert loss <= math.log(vocab_size) - math.log(alpha) + slack
    assert loss >= -math.log(1 - alpha + alpha / vocab_size) - slack


def test_worst_case_loss():
    # log(50254 / 0.1) = log 502540
    assert smoothing.worst_case_loss(0.1, 50254) == pytest.approx(13.127430517737347, rel=1e-14)


def test_reference_loss_is_the_entropy_plus_the_price_of_smoothing():
    # -log(1 - 0.1) = 0.1053605
    np.testing.assert_allclose(smoothing.reference_loss(np.array([0.0, 2.0]), 0.1), [0.1053605156578263, 2.1053605156578263], rtol=1e-14)


def test_reference_loss_bounds_what_the_model_expects_of_itself():
    p = np.array([0.7, 0.2, 0.06, 0.04])
    expected = (p * smoothing.smoothed_loss(-np.log(p), 0.3, 4)).sum()
    reference = smoothing.reference_loss(-(p * np.log(p)).sum(), 0.3)
    assert expected < reference < expected + 0.3


def test_closed_form_alpha_points():
    assert smoothing.closed_form_alpha(0.25) == pytest.approx(0.2, rel=1e-15)
    assert smoothing.closed_form_alpha(1.0) == 0.5


@pytest.mark.parametrize("c", [0.003, 0.1386, 0.7, 3.0])
@pytest.mark.parametrize("vocab_size", [2, 50254])
def test_closed_form_alpha_is_the_numerical_minimum_and_its_value_is_the_cost(c, vocab_size):
    def objective(alpha):
        return -math.log(1 - alpha) + c * math.log(vocab_size / alpha)

    best = minimize_scalar(objective, bounds=(1e-9, 1 - 1e-9), method="bounded", options={"xatol": 1e-10})
    assert smoothing.closed_form_alpha(c) == pytest.approx(best.x, rel=1e-4)
    assert c * math.log(vocab_size) + smoothing.smoothing_cost(c) == pytest.approx(best.fun, rel=1e-9)


def test_smoothing_cost_points():
    # C = 1: 2 log 2 - 0;  C = 1/4: 1.25 log 1.25 + 0.25 log 4
    assert smoothing.smoothing_cost(1.0) == pytest.approx(1.3862943611198906, rel=1e-14)
    assert smoothing.smoothing_cost(0.25) == pytest.approx(0.6255030294227348, rel=1e-14)


def test_smoothing_cost_sqrt_points():
    assert smoothing.smoothing_cost_sqrt(2.0) == 2.0
    assert smoothing.smoothing_cost_sqrt(0.125) == 0.5


def test_exact_cost_is_below_the_square_root_everywhere():
    assert (smoothing.smoothing_cost(C_VALUES) < smoothing.smoothing_cost_sqrt(C_VALUES)).all()


def test_square_root_is_within_three_percent_of_the_exact_cost_somewhere():
    # the inequality would also hold for a square root far too large
    assert (smoothing.smoothing_cost(C_VALUES) / smoothing.smoothing_cost_sqrt(C_VALUES)).max() > 0.97


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_are_float64_whatever_the_scores_are(dtype):
    scores = np.array([0.5, 3.0], dtype=dtype)
    assert smoothing.smoothed_loss(scores, 0.1, 10).dtype == np.float64
    assert smoothing.reference_loss(scores, 0.1).dtype == np.float64


def test_scalars_are_double_precision():
    values = [smoothing.worst_case_loss(0.1, 10), smoothing.closed_form_alpha(0.3), smoothing.smoothing_cost(0.3), smoothing.smoothing_cost_sqrt(0.3)]
    assert all(isinstance(value, float) for value in values)
