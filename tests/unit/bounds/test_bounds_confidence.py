"""Upper confidence bounds by hand, and their coverage where the mean is known, with mutants that must fail."""

import math

import numpy as np
import pytest
from sources import D, no_more_than_allowed

from scalebound.bounds.confidence import NAMES, best_ceiling, betting_upper, empirical_bernstein_upper, forecast, hoeffding_upper, pilot_bet_upper
from scalebound.errors import InputError

DRAWS, COUNT = 2000, 100


def bounds_of(values, largest, ceiling, d):
    return {
        "betting": betting_upper(values, largest, ceiling, d),
        "empirical_bernstein": empirical_bernstein_upper(values, largest, d),
        "hoeffding": hoeffding_upper(values, largest, d),
    }


def test_by_hand():
    values = np.array([0.0, 1.0, 2.0, 1.0])
    # rooms under 3: 3, 2, 1, 2; geometric mean 12^(1/4) = 1.861210, times 0.1^(1/4) = 0.562341
    assert betting_upper(values, 2.0, 3.0, 0.1) == pytest.approx(1.9533648, rel=1e-7)
    # V = 2/3, log 20 = 2.995732: 1 + sqrt(2 * 2/3 * 2.995732 / 4) + 14 * 2.995732 / 9
    assert empirical_bernstein_upper(values, 2.0, 0.1) == pytest.approx(6.6593164, rel=1e-7)
    # 1 + 2 sqrt(2.302585 / 8)
    assert hoeffding_upper(values, 2.0, 0.1) == pytest.approx(2.0729832, rel=1e-7)


def test_the_best_ceiling_is_the_best_of_many():
    rng = np.random.default_rng(0)
    for largest, spread in [(1.0, 0.02), (30.0, 3.0), (5.0, 1e-4)]:
        pilot = np.clip(largest * 0.4 + spread * rng.standard_normal(COUNT), 0, largest)
        ceiling = best_ceiling(pilot, largest, COUNT, D)
        assert ceiling > largest
        found = betting_upper(pilot, largest, ceiling, D)
        assert found <= min(betting_upper(pilot, largest, largest * (1 + x), D) for x in np.geomspace(1e-5, 1e3, 200)) + 1e-6 * largest


def test_more_windows_afford_a_higher_ceiling():
    pilot = np.random.default_rng(1).uniform(0, 10, 200)
    ceilings = [best_ceiling(pilot, 10.0, count, D) for count in (10, 1000, 100_000)]
    # about the mean plus sigma sqrt(m / (2 log(1/d)))
    assert ceilings[2] == pytest.approx(5 + pilot.std() * math.sqrt(100_000 / (2 * math.log(20))), rel=0.1)
    assert ceilings == sorted(ceilings)


@pytest.mark.parametrize("name", NAMES)
def test_a_forecast_for_as_many_windows_is_the_bound_on_the_pilot(name):
    pilot = np.random.default_rng(2).uniform(0, 3, 50)
    stated = bounds_of(pilot, 3.0, best_ceiling(pilot, 3.0, 50, D), D)[name]
    assert forecast(name, pilot, 3.0, 50, D) == pytest.approx(stated, rel=1e-12)
    assert forecast(name, pilot, 3.0, 5000, D) < stated - 0.1


def test_betting_is_far_tighter_where_the_spread_is_far_below_the_range():
    pilot, rest = np.clip(0.2 + 0.01 * np.random.default_rng(3).standard_normal((2, 768)), 0, 1)
    found = {name: value - rest.mean() for name, value in bounds_of(rest, 1.0, best_ceiling(pilot, 1.0, 768, D), D).items()}
    assert 2 * found["betting"] < found["empirical_bernstein"] < found["hoeffding"]
    # the scale of sigma sqrt(2 log(1/d) / m) plus the range times log(1/d) / m
    assert found["betting"] < 0.01 * math.sqrt(2 * math.log(1 / D) / 768) + math.log(1 / D) / 768


@pytest.mark.parametrize("values", [[-0.1, 0.5], [0.5, 1.1], [np.nan, 0.5], [], [[0.5]]])
def test_values_outside_the_range_are_refused(values):
    for bound in (lambda x: betting_upper(x, 1.0, 1.5, D), lambda x: empirical_bernstein_upper(x, 1.0, D), lambda x: hoeffding_upper(x, 1.0, D)):
        with pytest.raises(InputError, match="range must cover"):
            bound(np.array(values))


def test_a_ceiling_within_the_range_is_refused():
    for ceiling in (1.0, 0.7, np.nan):
        with pytest.raises(InputError, match="above the range"):
            betting_upper(np.array([0.1, 0.2]), 1.0, ceiling, D)


def test_empirical_bernstein_needs_two_values():
    with pytest.raises(InputError, match="at least two"):
        empirical_bernstein_upper(np.array([0.1]), 1.0, D)


def coin(rng, shape):
    """A fair coin between 0 and 1: the widest spread of a given range."""
    return rng.integers(2, size=shape).astype(float), 0.5


def rare(share):
    """1 so rarely that a draw without a single one has probability D^share, and 0 otherwise."""
    q = 1.02 * share * math.log(1 / D) / COUNT

    def sample(rng, shape):
        return (rng.random(shape) < q).astype(float), q

    return sample


def skewed(rng, shape):
    """A Beta variable as window means are: far from its largest value, with a long tail towards it."""
    return rng.beta(2, 20, shape), 2 / 22


def violations(source, bound, seed):
    """Whether the mean exceeds `bound(rest, ceiling)` in each of DRAWS draws; the ceiling is the best of a pilot half as large."""
    values, mean = source(np.random.default_rng(seed), (DRAWS, COUNT + COUNT // 2))
    violated = []
    for draw in values:
        pilot, rest = draw[: COUNT // 2], draw[COUNT // 2 :]
        violated.append(mean > bound(rest, best_ceiling(pilot, 1.0, COUNT, D)))
    return violated


SOURCES = {"coin": coin, "rare": rare(1.0), "skewed": skewed}


@pytest.mark.parametrize("source", SOURCES)
def test_every_bound_holds(source):
    values, mean = SOURCES[source](np.random.default_rng(5), (DRAWS, COUNT + COUNT // 2))
    violated = {name: [] for name in NAMES}
    for draw in values:
        pilot, rest = draw[: COUNT // 2], draw[COUNT // 2 :]
        for name, bound in bounds_of(rest, 1.0, best_ceiling(pilot, 1.0, COUNT, D), D).items():
            violated[name].append(mean > bound)
    for name in NAMES:
        assert no_more_than_allowed(violated[name]), name


def test_betting_is_nearly_tight_on_rare_values():
    """With a ceiling just above the range it fails nearly as often as it may, so that the test of coverage can tell."""
    violated = violations(rare(1.0), lambda rest, ceiling: betting_upper(rest, 1.0, 1.0001, D), 11)
    assert no_more_than_allowed(violated)
    assert np.mean(violated) > 0.6 * D


def test_betting_at_a_share_of_its_cost_fails():
    """sqrt(d) in place of d is half the cost, and d = 1 none at all."""
    for share in (0.5, 0.01):
        d = D**share
        assert not no_more_than_allowed(violations(rare(share), lambda rest, ceiling, d=d: betting_upper(rest, 1.0, ceiling, d), 6))


def test_betting_against_its_cost_fails():
    def flipped(rest, ceiling):
        return ceiling - math.exp(np.log(ceiling - rest).mean() + math.log(1 / D) / COUNT)

    for source in SOURCES.values():
        assert not no_more_than_allowed(violations(source, flipped, 7))


def test_empirical_bernstein_without_its_range_term_fails():
    def narrow(rest, ceiling):
        return rest.mean() + math.sqrt(2 * rest.var(ddof=1) * math.log(2 / D) / COUNT)

    assert not no_more_than_allowed(violations(rare(0.9), narrow, 8))


def test_hoeffding_at_a_quarter_of_its_cost_fails():
    assert not no_more_than_allowed(violations(coin, lambda rest, ceiling: hoeffding_upper(rest, 1.0, D**0.25), 9))


def test_the_mean_alone_is_no_bound():
    for source in (coin, skewed):
        assert not no_more_than_allowed(violations(source, lambda rest, ceiling: rest.mean(), 10))


def test_a_bet_on_the_first_values_holds_for_the_mean_of_all():
    """As of held-out losses: the first tenth chooses the bet, and the bound is that of the others alone. At half of its cost it fails."""
    values, mean = rare(0.6)(np.random.default_rng(12), (DRAWS // 5, COUNT))

    def exceeded(d):
        return [mean > pilot_bet_upper(draw, 1.0, 0.1, d) for draw in values]

    assert no_more_than_allowed(exceeded(D))
    assert not no_more_than_allowed(exceeded(D**0.5))
    draw, _ = skewed(np.random.default_rng(13), COUNT)
    assert pilot_bet_upper(draw, 1.0, 0.1, D) == betting_upper(draw[10:], 1.0, best_ceiling(draw[:10], 1.0, 90, D), D)
