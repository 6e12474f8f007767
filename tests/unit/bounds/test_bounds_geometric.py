"""(G) by hand, against (F), and its tangent."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalebound.bounds import smoothing
from scalebound.bounds.ceilings import EntropyCeilings, FreedmanCeilings, Grids, family_of, offset_grid
from scalebound.bounds.complexity import s_grid
from scalebound.bounds.freedman import bound_at, freedman_bound, scaled_difference
from scalebound.bounds.geometric import from_means, geometric_bound, tangent
from scalebound.errors import InputError

FINITE = {"allow_nan": False, "allow_infinity": False}


@st.composite
def problems(draw):
    """(losses, reference, worst): losses in [0, worst], references not negative."""
    worst = draw(st.floats(0.5, 30, **FINITE))
    shares = st.lists(st.tuples(st.floats(0, 1, **FINITE), st.floats(0, 1.2, **FINITE)), min_size=1, max_size=40)
    losses, reference = np.array(draw(shares)).T
    return losses * worst, reference * worst, worst


def language_like(seed, tokens=4000, vocab_size=512, alpha=0.05):
    """(smoothed losses, entropies, worst) with many small losses and some large ones."""
    rng = np.random.default_rng(seed)
    entropy = np.minimum(rng.gamma(1.2, 1.3, tokens), math.log(vocab_size))
    return smoothing.smoothed_loss(entropy * rng.exponential(1, tokens), alpha, vocab_size), entropy, smoothing.worst_case_loss(alpha, vocab_size)


def test_by_hand():
    # rooms 1, 4: geometric mean 2, and C = log 2 halves it: (3 + 5) / 2 - 1
    assert geometric_bound([3.0, 5.0], [2.0, 1.0], math.log(2)) == pytest.approx(3.0, rel=1e-15)


def test_equal_rooms_without_complexity_give_the_mean_loss():
    assert geometric_bound([3.0, 5.0], [1.0, 3.0], 0.0) == pytest.approx(2.0, rel=1e-15)


def test_a_constant_ceiling_serves_every_token():
    assert geometric_bound(7.0, [1.0, 2.0], 0.1) == pytest.approx(geometric_bound([7.0, 7.0], [1.0, 2.0], 0.1), rel=1e-15)


def test_a_scalar_result_is_a_float():
    assert type(geometric_bound(np.float32(7), np.float32([1, 2]), 0.1)) is float


@settings(max_examples=300, deadline=None, derandomize=True)
@given(problems(), st.floats(1e-3, 0.999), st.floats(0, 3))
def test_never_above_freedman_for_the_same_s_reference_and_complexity(problem, s, c):
    losses, reference, worst = problem
    freedman = bound_at(s, scaled_difference(losses, reference, worst), reference.mean(), worst, c)
    assert geometric_bound(reference + worst / s, losses, c) <= freedman + 1e-12 * worst / s * (1 + abs(freedman))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(problems(), st.floats(0.05, 0.95))
def test_equal_to_freedman_exactly_where_the_complexity_is_the_mean_log_growth(problem, s):
    """(F) - (G) = (D / s) (exp(u) - 1 - u) with u = mean log(1 + s A) - C: zero at u = 0, and only there."""
    losses, reference, worst = problem
    difference = scaled_difference(losses, reference, worst)
    growth = np.log1p(s * difference).mean()
    gaps = [
        bound_at(s, difference, reference.mean(), worst, c) - geometric_bound(reference + worst / s, losses, c) for c in (growth, growth + 0.3, growth - 0.3)
    ]
    assert gaps[0] == pytest.approx(0, abs=1e-10 * worst / s)
    assert gaps[1:] == pytest.approx([worst / s * (math.exp(u) - 1 - u) for u in (-0.3, 0.3)], rel=1e-6)


def test_the_best_of_both_coincide_as_complexity_vanishes():
    losses, entropy, worst = language_like(1)
    reference = smoothing.reference_loss(entropy, 0.05)
    grid = np.geomspace(1e-5, 0.999, 400)
    apart = []
    for c in (1e-1, 1e-3, 1e-5, 1e-7):
        best = min(geometric_bound(reference + worst / s, losses, c) for s in grid)
        apart.append(freedman_bound(losses, reference, worst, c, grid).value - best)
    assert apart == sorted(apart, reverse=True)
    assert 0 <= apart[-1] < 5e-6 < 0.03 < apart[0]


def test_entropy_ceilings_beat_the_freedman_shaped_ones_at_a_large_complexity():
    losses, entropy, worst = language_like(2)
    reference, c = smoothing.reference_loss(entropy, 0.05), 0.14
    shaped = min(geometric_bound(reference + worst / s, losses, c) for s in s_grid(200))
    family = EntropyCeilings(Grids(floor_points=1))
    points = [{"alpha": 0.05, "floor": 0.01, "offset": o, "slope": x} for o in family.axes["offset"] for x in family.axes["slope"]]
    free = min(geometric_bound(family.ceiling(entropy, 512, point), losses, c) for point in points)
    assert free < shaped - 0.05
    assert shaped < freedman_bound(losses, reference, worst, c, s_grid(200)).value - 0.02


@pytest.mark.parametrize("weight", [0.1, 1.0, 3.7, 40.0])
def test_the_tangent_is_never_below_and_touches_at_its_own_point(weight):
    rooms, c = np.array([0.3, 2.0, 5.0, 5.5]), 0.2
    g = np.log(rooms).mean()
    assert tangent(6.0, g, weight, c) >= from_means(6.0, g, c) - 1e-12
    assert tangent(6.0, g, math.exp(g - c), c) == pytest.approx(from_means(6.0, g, c), rel=1e-14)
    assert tangent(6.0, math.log(weight) + c, weight, c) == pytest.approx(6.0 - weight, rel=1e-14)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(problems(), st.floats(1e-2, 0.999), st.floats(0, 3))
def test_freedman_is_the_tangent_of_its_ceilings_at_worst_over_s(problem, s, c):
    losses, reference, worst = problem
    ceiling = reference + worst / s
    freedman = bound_at(s, scaled_difference(losses, reference, worst), reference.mean(), worst, c)
    found = tangent(ceiling.mean(), np.log(ceiling - losses).mean(), worst / s, c)
    assert found == pytest.approx(freedman, rel=1e-11, abs=1e-11 * worst / s)


@pytest.mark.parametrize(("ceiling", "losses"), [(2.0, [1.0, 2.0]), (2.0, [1.0, 2.5]), (np.nan, [1.0]), (np.inf, [1.0]), (2.0, [np.nan])])
def test_a_loss_that_reaches_its_ceiling_and_values_that_are_not_finite_are_refused(ceiling, losses):
    with pytest.raises(InputError, match="finite and above every loss"):
        geometric_bound(ceiling, losses, 0.1)


@pytest.mark.parametrize("method", ["geometric", "freedman"])
def test_ceilings_clear_the_worst_case_and_rise_with_entropy_all_over_the_grids(method):
    family = family_of(method, Grids(s_points=20))
    entropy = np.linspace(0, math.log(512), 50)
    rng = np.random.default_rng(3)
    for _ in range(500):
        point = {name: rng.choice(axis) for name, axis in family.axes.items()}
        ceiling = family.ceiling(entropy, 512, point)
        assert ceiling.min() > smoothing.worst_case_loss(point["alpha"], 512)
        assert (np.diff(ceiling) >= 0).all()


def test_entropy_ceiling_by_hand():
    # D = log(512 / 0.5) = 6.931472; max(0.01, -3 + 2 H) for H = 0, 1.5, 4
    point = {"alpha": 0.5, "floor": 0.01, "offset": -3.0, "slope": 2.0}
    found = EntropyCeilings(Grids()).ceiling(np.array([0.0, 1.5, 4.0]), 512, point)
    np.testing.assert_allclose(found, [6.941471805599453, 6.941471805599453, 11.931471805599453], rtol=1e-14)


def test_freedman_ceiling_by_hand():
    # H - log(1 - 0.5) + D / 0.25
    found = FreedmanCeilings(Grids()).ceiling(np.array([1.0]), 512, {"alpha": 0.5, "s": 0.25})
    assert found[0] == pytest.approx(1 + 0.6931471805599453 + 4 * 6.931471805599453, rel=1e-14)


def test_offsets_are_fine_around_zero_and_reach_their_ends():
    grid = offset_grid(49, -12, 60)
    assert (grid[0], grid[-1]) == pytest.approx((-12, 60), rel=1e-12)
    steps = np.diff(grid)
    assert steps[np.abs(grid[:-1]).argmin()] == pytest.approx(steps.min(), rel=0.05)
    assert steps.max() > 20 * steps.min()


@pytest.mark.parametrize("points", [1, 2, 5])
def test_grids_have_the_stated_sizes_and_start_at_their_first_value(points):
    g = Grids(alpha_points=points, floor_points=points, offset_points=points, slope_points=points)
    axes = EntropyCeilings(g).axes
    assert {len(axis) for axis in axes.values()} == {points}
    assert (axes["alpha"][0], axes["floor"][0]) == pytest.approx((g.alpha_min, g.floor_min), rel=1e-14)
    assert axes["slope"][-1] == g.slope_max


@pytest.mark.parametrize(
    "wrong",
    [{"alpha_min": 0.0}, {"alpha_max": 1.0}, {"floor_min": 0.0}, {"floor_max": 0.001}, {"offset_max": -20.0}, {"slope_max": -1.0}, {"slope_points": 0}],
)
def test_grids_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError):
        Grids(**wrong)


def test_an_unknown_method_is_refused():
    with pytest.raises(InputError, match="geometric, freedman"):
        family_of("azuma", Grids())
