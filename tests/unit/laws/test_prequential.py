"""The prequential estimate on curves whose information is known."""

import numpy as np
import pytest

from scalebound.errors import InputError
from scalebound.laws import prequential

TOKENS = np.arange(1, 1001) * 256


def test_a_model_that_learns_nothing_has_no_information():
    found = prequential.recorded(TOKENS, np.full(1000, 3.0), TOKENS[[9, 999]], [3.0, 3.0])
    np.testing.assert_allclose(found, 0, atol=1e-6)


def test_one_step_down_is_the_tokens_before_it_times_its_height():
    losses = np.where(np.arange(1000) < 100, 5.0, 2.0)
    (found,) = prequential.recorded(TOKENS, losses, TOKENS[-1:], [2.0])
    assert found == pytest.approx(100 * 256 * 3.0)


def test_a_power_law_has_the_area_of_theory():
    """beta / (1 - beta) B D^(1 - beta), the integral of loss minus final loss."""
    tokens, beta, factor = np.arange(1, 200_001) * 8, 0.3, 20.0
    curve = 1.5 + factor * (tokens - 4.0) ** -beta
    (found,) = prequential.recorded(tokens, curve, tokens[-1:], [1.5 + factor * tokens[-1] ** -beta])
    assert found == pytest.approx(beta / (1 - beta) * factor * tokens[-1] ** (1 - beta), rel=2e-3)


def test_what_is_hard_to_predict_cancels():
    """Uneven text: every other stretch is two nats harder, in training as in the final model."""
    hard = 2.0 * (np.arange(1000) // 100 % 2)
    plain = np.where(np.arange(1000) < 100, 5.0, 2.0)
    even = prequential.recorded(TOKENS, plain, TOKENS[-1:], [2.0])
    uneven = prequential.recorded(TOKENS, plain + hard, TOKENS[-1:], [2.0 + hard.mean()])
    np.testing.assert_allclose(uneven, even)


@pytest.mark.parametrize(
    ("tokens", "losses", "places", "word"),
    [
        ([256, 256], [3.0, 2.0], [256], "saw no new row"),
        ([256, 512], [3.0, np.nan], [512], "NaN"),
        ([256, 512], [3.0, 2.0], [300], "no step"),
        ([256, 512], [3.0, 2.0], [768], "no step"),
        ([256, 512], [3.0], [256], "token counts"),
    ],
)
def test_bad_curves_are_refused(tokens, losses, places, word):
    with pytest.raises(InputError, match=word):
        prequential.recorded(tokens, losses, places, np.full(len(places), 2.0))


def test_points_of_a_law_that_is_linear_in_log_tokens_are_integrated_exactly():
    tokens = np.array([1000, 10_000, 300_000])
    losses = 8 - 0.4 * np.log(tokens)
    found = prequential.through_points(tokens, losses, start_loss=6.0)
    # the integral of 8 - 0.4 log D, from the first point on
    area = [8.4 * d - 0.4 * d * np.log(d) for d in tokens.astype(float)]
    np.testing.assert_allclose(found, 1000 * 6.0 + np.array(area) - area[0] - tokens * losses)


@pytest.mark.parametrize("tokens", [[1000], [1000, 1000], [2000, 1000]])
def test_points_must_ascend(tokens):
    with pytest.raises(InputError, match="two steps or more"):
        prequential.through_points(tokens, np.full(len(tokens), 3.0), 6.0)
