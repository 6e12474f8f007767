"""The Azuma bound and the paper's sum of terms, by hand."""

import numpy as np
import pytest

from scalebound.bounds.azuma import azuma_bound
from scalebound.bounds.decomposition import decompose

# C = 1, V = 10: C log V = 2.302585, Sigma sqrt C = 0.7, smoothing 2 log 2 = 1.386294 (exact) or sqrt 2 = 1.414214
TERMS = decompose(train_loss=2.0, quantized_loss=2.1, sigma=0.7, c=1.0, vocab_size=10)


def test_azuma_by_hand():
    # 3 + 10 sqrt(0.08 / 2) = 3 + 10 * 0.2
    assert azuma_bound(3.0, 10.0, 0.08) == pytest.approx(5.0, rel=1e-15)


def test_azuma_without_complexity_is_the_mean_loss():
    assert azuma_bound(3.0, 10.0, 0.0) == 3.0


def test_each_term_by_hand():
    expected = {
        "train_loss": 2.0,
        "parameters_per_token": 2.302585092994046,
        "loss_variation": 0.7,
        "smoothing": 1.3862943611198906,
        "smoothing_sqrt": 1.4142135623730951,
        "quantization_gap": 0.1,
    }
    assert TERMS.as_dict() == pytest.approx(expected, rel=1e-14)


def test_terms_scale_with_c_and_its_square_root():
    # C = 1/4, V = 50254: log V / 4 = 10.8248454 / 4 = 2.7062114, Sigma / 2, 1.25 log 1.25 + 0.25 log 4, sqrt(1 / 2)
    terms = decompose(1.5, 1.25, 0.6, 0.25, 50254).as_dict()
    found = [terms[name] for name in ("parameters_per_token", "loss_variation", "smoothing", "smoothing_sqrt", "quantization_gap")]
    assert found == pytest.approx([2.7062113561858254, 0.3, 0.6255030294227348, 0.7071067811865476, -0.25], rel=1e-12)


def test_terms_add_up_to_the_bound():
    # 2 + 2.3025851 + 0.7 + 1.3862944 + 0.1
    assert TERMS.bound == pytest.approx(6.488879454113936, rel=1e-14)


def test_terms_add_up_to_the_bound_with_the_square_root():
    # 2 + 2.3025851 + 0.7 + 1.4142136 + 0.1
    assert TERMS.bound_sqrt == pytest.approx(6.516798655367141, rel=1e-14)


def test_quantization_that_lowers_the_loss_lowers_the_bound():
    better = decompose(2.0, 1.9, 0.7, 1.0, 10)
    assert TERMS.bound - better.bound == pytest.approx(0.2, rel=1e-12)


def test_terms_are_plain_floats():
    terms = decompose(np.float32(2.0), np.float64(2.1), np.float64(0.7), np.float64(1.0), np.int64(10))
    assert {type(value) for value in terms.as_dict().values()} == {float}
