"""The empirical Freedman bound: points by hand, its two forms, its search over s, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scalebound.bounds.complexity import s_grid
from scalebound.bounds.freedman import bound_at, bound_from_variation, freedman_bound, scaled_difference, variation_at
from scalebound.errors import InputError

# D = 2, Y = (1, 1), X = (2, 0): A = (-1/2, 1/2), mean X = mean Y = 1
LOSSES, REFERENCE, WORST = np.array([2.0, 0.0]), np.array([1.0, 1.0]), 2.0


@st.composite
def problems(draw):
    """(losses, reference, worst): losses in [0, D], references above zero and at times far above D."""
    size = draw(st.integers(1, 30))
    worst = draw(st.floats(0.1, 40))
    unit = hnp.arrays(np.float64, size, elements=st.floats(0, 1))
    return draw(unit) * worst, draw(unit) * worst * draw(st.sampled_from([0.2, 1, 3])), worst


def brute_force(losses, reference, worst, c, grid):
    """(F) at every point of the grid, written from the formula."""
    difference = (reference - losses) / worst
    return np.array([reference.mean() - worst / s * (np.log(1 + s * difference).mean() - c) for s in grid])


def random_problem(rng):
    """Losses and references of many shapes: bell, rare large losses, constant; bias of either sign."""
    size, worst = int(rng.integers(1, 200)), rng.uniform(0.5, 20)
    share = [rng.beta(2, 5, size), (rng.random(size) < 0.05) * 0.999, np.full(size, rng.random())][rng.integers(3)]
    reference = [rng.beta(2, 5, size), rng.uniform(0, 3, size), np.full(size, share.mean())][rng.integers(3)]
    return share * worst, reference * worst, worst


def test_scaled_difference_by_hand():
    np.testing.assert_array_equal(scaled_difference(LOSSES, REFERENCE, WORST), [-0.5, 0.5])


def test_bound_at_by_hand():
    # s = 1/2: mean log(1 + s A) = (log 0.75 + log 1.25) / 2 = -0.0322692606; 1 - (2 / 0.5) (-0.0322692606 - 0.1)
    assert bound_at(0.5, np.array([-0.5, 0.5]), 1.0, 2.0, 0.1) == pytest.approx(1.5290770422751424, rel=1e-14)


def test_bound_at_without_complexity_is_the_mean_of_w():
    # D = 1, A = (-1/2), Y = 1/4, s = 1/2: 0.25 - 2 log 0.75
    assert bound_at(0.5, np.array([-0.5]), 0.25, 1.0, 0.0) == pytest.approx(0.25 + 2 * 0.2876820724517809, rel=1e-14)


def test_variation_at_by_hand():
    # sqrt C = 0.3162277660; mean t = 0, so mean v = 0.0322692606: 2 * 0.3162277660 * 0.5 / 0.5 + (2 / 0.3162277660) * 0.0322692606 / 0.5
    assert variation_at(0.5, np.array([-0.5, 0.5]), 2.0, 0.1) == pytest.approx(1.0406329792609680, rel=1e-14)


def test_variation_of_equal_loss_and_reference_is_the_price_of_s_below_one():
    # A = 0: D sqrt(C) (1 - s) / s = 3 * 0.5 * 0.75 / 0.25
    assert variation_at(0.25, np.zeros(4), 3.0, 0.25) == pytest.approx(4.5, rel=1e-15)


def test_bound_from_variation_by_hand():
    assert bound_from_variation(1.0, 2.0, 0.25, 3.0) == pytest.approx(1 + 0.5 + 1.5, rel=1e-15)


def test_freedman_bound_on_a_grid_of_one_point_by_hand():
    found = freedman_bound(LOSSES, REFERENCE, WORST, 0.1, np.array([0.5]))
    assert (found.value, found.s, found.sigma) == pytest.approx((1.5290770422751424, 0.5, 1.0406329792609680), rel=1e-14)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(problems(), st.floats(1e-9, 10), st.floats(1e-3, 0.999))
def test_direct_form_and_variation_form_agree_to_rounding(problem, c, s):
    losses, reference, worst = problem
    difference = scaled_difference(losses, reference, worst)
    direct = bound_at(s, difference, reference.mean(), worst, c)
    split = bound_from_variation(losses.mean(), worst, c, variation_at(s, difference, worst, c))
    assert direct == pytest.approx(split, abs=1e-13 * worst * (2 + c / s + np.abs(difference).max() / s))


def test_forms_agree_on_the_papers_whole_grid():
    rng = np.random.default_rng(3)
    losses, reference, worst, c = rng.exponential(2, 500).clip(max=9), rng.gamma(2, 1, 500), 9.0, 0.14
    difference = scaled_difference(losses, reference, worst)
    grid = s_grid(1000)
    direct = [bound_at(s, difference, reference.mean(), worst, c) for s in grid]
    split = [bound_from_variation(losses.mean(), worst, c, variation_at(s, difference, worst, c)) for s in grid]
    np.testing.assert_allclose(direct, split, rtol=1e-12)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(problems(), st.floats(1e-3, 0.999))
def test_w_is_at_least_the_loss_token_by_token(problem, s):
    losses, reference, worst = problem
    difference = scaled_difference(losses, reference, worst)
    for k in range(len(losses)):
        w = bound_at(s, difference[k : k + 1], reference[k], worst, 0.0)
        assert w >= losses[k] - 1e-12 * worst * (1 + abs(difference[k]) / s)


@pytest.mark.parametrize(("loss", "reference"), [(0.0, 1.0), (1.0, 0.0), (0.3, 0.8)])
def test_w_exceeds_the_loss_strictly_where_the_reference_is_off(loss, reference):
    difference = scaled_difference([loss], [reference], 1.0)
    assert bound_at(0.5, difference, reference, 1.0, 0.0) > loss + 0.01


@settings(max_examples=300, deadline=None, derandomize=True)
@given(problems(), st.floats(1e-6, 10), st.integers(1, 60))
def test_search_finds_the_least_value_of_the_grid(problem, c, points):
    losses, reference, worst = problem
    grid = s_grid(points)
    every = brute_force(losses, reference, worst, c, grid)
    found = freedman_bound(losses, reference, worst, c, grid)
    assert found.value == pytest.approx(every.min(), rel=1e-10, abs=1e-11)


@pytest.mark.parametrize("points", [1, 2, 3, 7, 100, 1000])
def test_search_finds_the_grid_point_that_brute_force_finds(points):
    rng, grid = np.random.default_rng(points), s_grid(points)
    ends = set()
    for _ in range(60):
        losses, reference, worst = random_problem(rng)
        c = 10 ** rng.uniform(-6, 0.5)
        every = brute_force(losses, reference, worst, c, grid)
        found = freedman_bound(losses, reference, worst, c, grid)
        assert found.value == pytest.approx(every.min(), rel=1e-12)
        chosen = int(np.flatnonzero(grid == found.s)[0])
        assert every[chosen] == pytest.approx(every.min(), rel=1e-12)
        ends.add("first" if chosen == 0 else "last" if chosen == points - 1 else "inside")
    assert ends == ({"first"} if points == 1 else {"first", "last"} if points == 2 else {"first", "last", "inside"})


def test_large_complexity_puts_the_minimum_at_the_last_s():
    grid = s_grid(50)
    found = freedman_bound(LOSSES, REFERENCE, WORST, 5.0, grid)
    assert found.s == grid[-1]
    assert found.value == pytest.approx(brute_force(LOSSES, REFERENCE, WORST, 5.0, grid)[-1], rel=1e-13)


def test_small_complexity_puts_the_minimum_at_the_first_s():
    grid = s_grid(50)
    found = freedman_bound(LOSSES, REFERENCE, WORST, 1e-7, grid)
    assert found.s == grid[0]
    assert found.value == pytest.approx(brute_force(LOSSES, REFERENCE, WORST, 1e-7, grid)[0], rel=1e-13)


def test_search_works_on_an_uneven_grid():
    grid = np.array([0.01, 0.02, 0.3, 0.35, 0.9, 0.99])
    every = brute_force(LOSSES, REFERENCE, WORST, 0.02, grid)
    found = freedman_bound(LOSSES, REFERENCE, WORST, 0.02, grid)
    assert (found.value, found.s) == pytest.approx((every.min(), grid[every.argmin()]), rel=1e-13)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(problems(), st.floats(1e-4, 3))
def test_sigma_belongs_to_the_chosen_s(problem, c):
    losses, reference, worst = problem
    found = freedman_bound(losses, reference, worst, c, s_grid(100))
    assert losses.mean() + worst * c + found.sigma * np.sqrt(c) == pytest.approx(found.value, abs=1e-9 * worst)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 1])
def test_losses_and_references_that_are_not_finite_are_refused(bad, where):
    spoilt = np.array([0.5, 0.5])
    spoilt[where] = bad
    with pytest.raises(InputError, match="NaN or infinite"):
        freedman_bound(spoilt, REFERENCE, WORST, 0.1, s_grid(5))
    with pytest.raises(InputError, match="NaN or infinite"):
        freedman_bound(LOSSES, spoilt, WORST, 0.1, s_grid(5))


def test_a_negative_reference_is_refused():
    with pytest.raises(InputError, match=r"reference down to -0\.001"):
        freedman_bound(LOSSES, np.array([1.0, -0.001]), WORST, 0.1, s_grid(5))


def test_a_reference_of_zero_is_allowed():
    assert np.isfinite(freedman_bound(LOSSES, np.zeros(2), WORST, 0.1, s_grid(5)).value)


def test_a_loss_above_the_worst_case_is_refused():
    with pytest.raises(InputError, match=r"loss up to 2\.0001, worst case 2\.0"):
        freedman_bound(np.array([0.0, 2.0001]), REFERENCE, WORST, 0.1, s_grid(5))


def test_a_loss_above_the_worst_case_by_rounding_is_allowed():
    found = freedman_bound(np.array([0.0, 2.0 * (1 + 1e-14)]), REFERENCE, WORST, 0.1, s_grid(5))
    assert found.value == pytest.approx(freedman_bound(LOSSES, REFERENCE, WORST, 0.1, s_grid(5)).value, rel=1e-12)


def test_single_precision_scores_are_computed_in_double():
    losses, reference = np.array([0.1, 1.7], dtype=np.float32), np.array([0.3, 0.9], dtype=np.float32)
    assert scaled_difference(losses, reference, WORST).dtype == np.float64
    single = freedman_bound(losses, reference, WORST, 0.1, s_grid(9))
    assert single == freedman_bound(losses.astype(np.float64), reference.astype(np.float64), WORST, 0.1, s_grid(9))
    assert {type(value) for value in (single.value, single.s, single.sigma)} == {float}
