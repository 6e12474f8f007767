"""Regret and price of the online bound under a law: by hand, against sums, and against what was measured on the ladder."""

import math

import numpy as np
import pytest

from scalebound.bounds.geometric import geometric_bound
from scalebound.errors import InputError
from scalebound.laws.chinchilla import PUBLISHED, Law
from scalebound.laws.online import predicted, price, regret, spread

HOFFMANN, BESIROGLU = PUBLISHED.values()


@pytest.mark.parametrize(
    ("law", "tokens", "expected"), [(HOFFMANN, 1.4e9, 0.44), (BESIROGLU, 1.4e9, 0.54), (HOFFMANN, 1.4e11, 0.12), (BESIROGLU, 1.4e11, 0.10)]
)
def test_regret_of_published_laws(law, tokens, expected):
    assert regret(law, tokens) == pytest.approx(expected, abs=0.005)


def test_regret_by_hand():
    # B D^-beta beta / (1 - beta) with D = 100, beta = 1/2: 10 / 10; the last three quarters: mean of 10 / sqrt(d) - 1
    law = Law(1, 1, 10, 0.3, 0.5)
    assert regret(law, 100) == pytest.approx(1.0, rel=1e-14)
    assert regret(law, 100, 0.25) == pytest.approx(10 * 2 * (10 - 5) / 75 - 1, rel=1e-13)


@pytest.mark.parametrize("start", [0.0, 0.1, 0.5, 0.9])
def test_regret_is_the_mean_over_the_positions(start):
    places = 1e9 * (start + (1 - start) * (np.arange(10**6) + 0.5) / 10**6)
    mean = (HOFFMANN.loss(1e8, places) - HOFFMANN.loss(1e8, 1e9)).mean()
    assert regret(HOFFMANN, 1e9, start) == pytest.approx(mean, rel=2e-4)


def test_a_law_without_regret_is_refused():
    with pytest.raises(InputError, match="diverges"):
        regret(Law(1, 1, 1, 0.3, 1.0), 1e9, 0.5)


def test_the_price_by_hand():
    # m decides: (2 + 0.1) (1 - exp(-0.139)) without variance
    assert price(0.139, 0.1, 0.01, 2.0) == pytest.approx(0.27252114, abs=1e-8)
    # with variance 0.04 there is exp(-0.139) 0.04 / (2 2.1) more
    assert price(0.139, 0.1, 0.05, 2.0) == pytest.approx(0.27252114 + math.exp(-0.139) * 0.04 / 4.2, abs=1e-8)
    # two kinds of tokens, m 1 and 3, no variance: (t + 3) / 2 - sqrt(3 t / e) is least at t = 3 / e
    assert price(0.5, 0.0, 0.0, [1.0, 3.0]) == pytest.approx(1.5 - 1.5 / math.e, rel=1e-9)


def test_where_the_level_decides_the_price_is_about_the_root_of_twice_c_times_the_variance():
    for c in (1e-3, 1e-5):
        assert price(c, 0.0, 0.5, 1e-3) == pytest.approx(math.sqrt(2 * c * 0.5), rel=0.02)


def test_the_price_falls_with_the_regret_only_as_far_as_m_does():
    prices = [price(0.139, r, 2.6 * r, 2.0) for r in (0.4, 0.04, 0.0004)]
    assert prices == sorted(prices, reverse=True)
    assert prices[-1] == pytest.approx(2 * -math.expm1(-0.139), rel=2e-3)
    assert price(0.139, 0.0004, 0.00104, 0.02) < 0.02


def test_the_price_is_that_of_gaussian_differences():
    rng, c = np.random.default_rng(0), 0.05
    z = -0.2 + 0.4 * rng.standard_normal(400_000)
    levels = np.linspace(2.0, 5.0, 20)  # above every difference
    exact = min(geometric_bound(level, z, c) for level in levels) - z.mean()
    assert price(c, 0.2, 0.2, 2.0) == pytest.approx(exact, rel=0.02)


# shares of the stream, C of it, regret, mean Z^2, mean m, and (D) minus mean X: plug-in, unquantized models, weights 0.02 or 0.04
MEASURED = [
    ("20k", 0.1390, 0.380, 0.993, 2.146, 0.6497),
    ("20k", 0.0624, 0.372, 0.973, 1.975, 0.3577),
    ("20k, second half", 0.2780, 0.104, 0.148, 0.830, 0.3583),
    ("20k, second half", 0.1248, 0.096, 0.145, 0.792, 0.2108),
    ("45k", 0.1390, 0.354, 0.902, 2.215, 0.6263),
    ("45k", 0.0624, 0.346, 0.886, 2.038, 0.3453),
    ("45k, second half", 0.2780, 0.103, 0.145, 0.965, 0.4055),
    ("45k, second half", 0.1248, 0.096, 0.142, 0.909, 0.2357),
    ("106k", 0.1390, 0.442, 1.181, 2.524, 0.7194),
    ("106k", 0.0624, 0.434, 1.161, 2.339, 0.3983),
    ("106k, second half", 0.2780, 0.136, 0.201, 1.126, 0.4805),
    ("106k, second half", 0.1248, 0.127, 0.197, 1.059, 0.2787),
]


@pytest.mark.parametrize(("name", "c", "behind", "moment", "largest", "measured"), MEASURED)
def test_the_price_is_near_what_was_measured(name, c, behind, moment, largest, measured):
    assert price(c, behind, moment, spread(largest)) == pytest.approx(measured, rel=0.07)
    # one m for all tokens is no good stand-in
    assert price(c, behind, moment, largest) < 0.87 * measured


def test_the_spread_has_its_mean_and_shape():
    values = spread(2.0)
    assert values.mean() == pytest.approx(2.0, rel=1e-12)
    assert (values.mean() / values.std()) ** 2 == pytest.approx(2.0, rel=0.03)


def test_predictions_are_one_row_a_model_and_add_up():
    found = predicted(HOFFMANN, [1e8, 1e10], [2e9, 2e11], 4, [2.0, 1.0], 0.04, excess=0.05)
    assert found["C"].to_numpy() == pytest.approx(4 * math.log(2) / 20)
    assert found["regret"].to_numpy() == pytest.approx(regret(HOFFMANN, [2e9, 2e11]) + 0.05)
    assert (found["bound"] - found["loss"] - found["price"]).to_numpy() == pytest.approx(-math.log(0.96))
    assert found["gap"][1] < found["gap"][0]
    assert found["price"][0] == pytest.approx(price(found["C"][0], found["regret"][0], found["second_moment"][0], spread(2.0)))


def test_predictions_for_a_later_part_pay_with_its_tokens():
    whole, later = (predicted(HOFFMANN, 1e9, 2e10, 4, 1.0, 0.04, start=start).iloc[0] for start in (0.0, 0.5))
    assert later["C"] == pytest.approx(2 * whole["C"])
    assert later["regret"] < 0.5 * whole["regret"]
