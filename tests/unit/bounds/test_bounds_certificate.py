"""The certificate: worked-out ranges by brute force, what the choices may depend on, its terms, and its refusals."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalebound.bounds import linearization, recheck
from scalebound.bounds.ceilings import Grids, family_of
from scalebound.bounds.certificate import CertificateSettings, certify, plug_in
from scalebound.bounds.complexity import alpha_grid, s_grid
from scalebound.bounds.freedman import freedman_bound
from scalebound.bounds.geometric import geometric_bound
from scalebound.bounds.linearization import room_under
from scalebound.bounds.smoothing import reference_loss, smoothed_loss, worst_case_loss
from scalebound.bounds.token_scores import TokenScores
from scalebound.errors import InputError

V, TOKENS, BITS = 512, 1_000_000, 160_000  # C = 0.111
SMALL = Grids(alpha_points=7, s_points=30, floor_points=3, offset_points=15, slope_points=7)
METHODS = ["geometric", "freedman"]


def language_like(windows, positions=32, seed=0):
    """Scores (nll, entropy) with windows that differ in difficulty, as texts do."""
    rng = np.random.default_rng(seed)
    hardness = rng.gamma(8, 1 / 8, (windows, 1))
    entropy = np.minimum(hardness * rng.gamma(1.5, 1.2, (windows, positions)), math.log(V))
    return entropy * rng.exponential(1, (windows, positions)), entropy


def with_settings(**changes):
    return CertificateSettings(**{"grids": SMALL, "pilot_share": 0.2, **changes})


def certificate_of(scores, **changes):
    return certify(*scores, V, TOKENS, BITS, with_settings(**changes))


@pytest.fixture(scope="module")
def scores():
    return language_like(800)


@pytest.fixture(scope="module", params=METHODS)
def certificate(request, scores):
    return certificate_of(scores, method=request.param)


def random_point(family, rng):
    return {name: float(rng.choice(axis)) for name, axis in family.axes.items()}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("vocab_size", [2, 512, 50_000])
def test_the_range_is_that_of_every_loss_and_entropy_that_could_occur(method, vocab_size):
    """No value of a fine mesh leaves the range, and its ends are reached: it is neither too narrow nor needlessly wide."""
    rng, family = np.random.default_rng(1), family_of(method, Grids(alpha_max=0.95, s_points=30))
    nll = np.concatenate([[0.0], np.geomspace(1e-3, 60, 150), [1e6]])
    for _ in range(40):
        point, c = random_point(family, rng), rng.uniform(0, 0.5)
        # many entropies, since the least value lies at one between the ends
        entropy = np.repeat(np.linspace(0, math.log(vocab_size), 800)[:, None], len(nll), axis=1)
        mesh = TokenScores(np.broadcast_to(nll, entropy.shape), entropy, vocab_size)
        ceiling, losses = family.ceiling(entropy, vocab_size, point), mesh.losses(point["alpha"])
        weight = point.get("s") and worst_case_loss(point["alpha"], vocab_size) / point["s"]
        weight = weight or ceiling.mean() * 10 ** rng.uniform(-1.5, 0.5)
        values = ceiling - weight * np.log(ceiling - losses)
        bounded = room_under(family, point, mesh).linearized(weight, c)
        assert values.max() == pytest.approx(bounded.high, abs=1e-9 * (1 + bounded.width))
        assert values.min() >= bounded.low - 1e-9 * (1 + bounded.width)
        assert values.min() == pytest.approx(bounded.low, abs=1e-3 * (1 + bounded.width))


def test_the_stated_range_of_freedman_holds_for_alpha_up_to_a_half_but_not_beyond():
    """Theory, section 6, gives -(D / s) log(1 - s): it needs references below D, hence alpha at most 1/2."""
    s, family = 0.1, family_of("freedman", SMALL)

    def largest(alpha, vocab_size=400):
        room = room_under(family, {"alpha": alpha, "s": s}, TokenScores([[0.0]], [[0.0]], vocab_size))
        bounded = room.linearized(room.losses[1] / s, 0.0)
        return bounded.high + bounded.constant, -room.losses[1] / s * math.log(1 - s)

    for alpha in np.linspace(0.01, 0.5, 30):
        assert largest(alpha)[0] <= largest(alpha)[1]
    assert largest(0.9999)[0] > largest(0.9999)[1]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.floats(0.01, 5))
def test_the_mean_of_the_bounded_values_is_the_tangent_and_at_least_the_geometric_bound(seed, factor):
    rng = np.random.default_rng(seed)
    family, c = family_of("geometric", SMALL), rng.uniform(1e-4, 0.4)
    nll, entropy = language_like(6, 5, seed)
    point, sample = random_point(family, rng), TokenScores(nll, entropy, V)
    room = room_under(family, point, sample)
    weight = factor * family.weight(room, point, c)
    bounded = room.linearized(weight, c)
    exact = geometric_bound(family.ceiling(entropy, V, point), smoothed_loss(nll, point["alpha"], V), c)
    mean = bounded.values.mean() + bounded.constant
    assert mean == pytest.approx(room.tangent(weight, c), rel=1e-10)
    assert mean >= exact - 1e-10 * abs(exact)
    assert room.geometric(c) == pytest.approx(exact, rel=1e-12)
    assert bounded.low <= bounded.values.min() <= bounded.values.max() <= bounded.high


def test_the_freedman_certificate_bounds_the_freedman_bound(scores):
    """Its bounded mean plus the constant is (F) at the chosen s and alpha, from the functions of the estimate."""
    found = certificate_of(scores, method="freedman")
    point, rest = found["choice"]["point"], slice(160, None)
    losses, reference = smoothed_loss(scores[0][rest], point["alpha"], V), reference_loss(scores[1][rest], point["alpha"])
    estimate = freedman_bound(losses, reference, worst_case_loss(point["alpha"], V), found["C"], np.array([point["s"]]))
    assert found["estimate"]["same_choice"] == pytest.approx(estimate.value, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_plug_in_of_freedman_is_the_least_of_its_grids(seed):
    nll, entropy = language_like(100, 16, seed)
    found = plug_in(family_of("freedman", SMALL), TokenScores(nll, entropy, V), 0.1)
    every = [
        freedman_bound(smoothed_loss(nll, a, V), reference_loss(entropy, a), worst_case_loss(a, V), 0.1, s_grid(30)).value
        for a in alpha_grid(7, SMALL.alpha_min, SMALL.alpha_max)
    ]
    assert found["value"] == pytest.approx(min(every), rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_plug_in_of_the_geometric_bound_is_near_the_least_of_its_grids(seed):
    grids = Grids(alpha_points=5, floor_points=2, offset_points=9, slope_points=5)
    family, sample = family_of("geometric", grids), TokenScores(*language_like(40, 16, seed), V)
    points = [
        {"alpha": a, "floor": f, "offset": o, "slope": x}
        for a in family.axes["alpha"]
        for f in family.axes["floor"]
        for o in family.axes["offset"]
        for x in family.axes["slope"]
    ]
    least = min(room_under(family, point, sample).geometric(0.1) for point in points)
    assert least <= plug_in(family, sample, 0.1)["value"] <= least + 0.003


def test_terms_add_up_from_the_loss_to_the_value(certificate, scores):
    terms = certificate["terms"]
    assert sum(terms.values()) == pytest.approx(certificate["value"], rel=1e-13)
    assert terms["loss"] == pytest.approx(scores[0][160:].mean(), rel=1e-14)
    assert min(terms["smoothing"], terms["generalization"], terms["sampling"]) > 0
    assert terms["linearization"] >= -1e-12
    assert certificate["settings"]["method"] == "geometric" or abs(terms["linearization"]) < 1e-12


def test_complexity_pays_for_the_grids_of_the_method_and_for_the_stream_only(certificate):
    sizes = {"geometric": (7, 3, 15, 7), "freedman": (7, 30)}[certificate["settings"]["method"]]
    assert tuple(certificate["grid_sizes"].values()) == sizes
    assert certificate["C"] == pytest.approx((BITS * math.log(2) + math.log(math.prod(sizes) / 0.0001)) / TOKENS, rel=1e-14)


def test_the_value_is_the_decided_bound_and_above_the_estimate(certificate):
    assert certificate["kind"] == "certificate"
    assert certificate["value"] == certificate["values"]["betting"]
    assert certificate["value"] > certificate["estimate"]["same_choice"] > certificate["estimate"]["best"]["value"] - 0.1


def test_betting_is_tighter_than_bernstein_and_that_than_hoeffding(certificate):
    values, base = certificate["values"], certificate["estimate"]["same_choice"]
    assert 1.5 * (values["betting"] - base) < values["empirical_bernstein"] - base < values["hoeffding"] - base


def test_betting_stays_tightest_when_every_bound_has_choices_of_its_own(scores):
    found = {name: certificate_of(scores, confidence=name)["value"] for name in ("betting", "empirical_bernstein", "hoeffding")}
    assert found["betting"] < found["empirical_bernstein"] - 0.1
    assert found["empirical_bernstein"] < found["hoeffding"]


def test_choices_for_a_bound_favour_that_bound(scores):
    by_betting = certificate_of(scores, confidence="betting")["values"]
    by_hoeffding = certificate_of(scores, confidence="hoeffding")["values"]
    assert by_hoeffding["hoeffding"] < by_betting["hoeffding"]
    assert by_betting["betting"] < by_hoeffding["betting"]


def test_geometric_is_tighter_than_freedman(scores):
    assert certificate_of(scores, method="geometric")["value"] < certificate_of(scores, method="freedman")["value"] - 0.05


def test_more_windows_make_a_smaller_certificate_that_nears_the_estimate():
    values = [certificate_of(language_like(windows, seed=3))["terms"]["sampling"] for windows in (100, 800, 4000)]
    assert values[0] > 2 * values[1] > 4 * values[2] > 0


def test_choices_depend_on_the_pilot_alone(scores):
    """Other windows in the rest leave grid point, weight and bet as they are; another pilot does not."""
    nll, entropy = (x.copy() for x in scores)
    other_nll, other_entropy = language_like(800, seed=9)
    nll[160:], entropy[160:] = other_nll[160:] * 1.7, other_entropy[160:]
    assert certificate_of((nll, entropy))["choice"] == certificate_of(scores)["choice"]
    nll[:160] *= 2
    assert certificate_of((nll, entropy))["choice"] != certificate_of(scores)["choice"]


def test_the_order_of_the_rest_does_not_matter(scores):
    order = np.concatenate([np.arange(160), 160 + np.random.default_rng(0).permutation(640)])
    assert certificate_of(tuple(x[order] for x in scores))["value"] == pytest.approx(certificate_of(scores)["value"], rel=1e-12)


def test_scores_in_single_precision_give_the_same(scores):
    single = certificate_of(tuple(x.astype(np.float32) for x in scores))
    assert single["value"] == pytest.approx(certificate_of(scores)["value"], rel=1e-5)


def test_the_result_survives_json(certificate):
    assert json.loads(json.dumps(certificate, allow_nan=False)) == certificate


@pytest.mark.parametrize("method", METHODS)
def test_one_window_of_certain_losses_throughout_is_certified(method):
    """A draw without any spread: the bet is at its limit, and the value above the loss."""
    found = certificate_of((np.full((50, 8), 0.5), np.full((50, 8), 0.5)), method=method)
    assert 0.5 < found["estimate"]["same_choice"] < found["value"]


def test_a_smaller_weight_than_the_touching_one_is_taken_where_the_range_is_dear():
    few = certificate_of(language_like(100, seed=4))
    family = family_of("geometric", SMALL)
    pilot = TokenScores(*(x[:20] for x in language_like(100, seed=4)), V)
    touching = family.weight(room_under(family, few["choice"]["point"], pilot), few["choice"]["point"], few["C"])
    assert few["choice"]["weight"] < 0.99 * touching


def set_first(array, value):
    array[0, 0] = value


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.5])
@pytest.mark.parametrize("which", [0, 1])
def test_scores_that_are_no_scores_are_refused(which, bad):
    spoilt = [x.copy() for x in language_like(20, 4)]
    set_first(spoilt[which], bad)
    with pytest.raises(InputError):
        certificate_of(spoilt)


def test_an_entropy_above_log_v_is_refused_beyond_rounding():
    nll, entropy = language_like(20, 4)
    set_first(entropy, math.log(V) + 1e-5)
    assert TokenScores(nll, entropy, V).entropy.max() == math.log(V)
    set_first(entropy, math.log(V) + 0.01)
    with pytest.raises(InputError, match="between 0 and log V"):
        certificate_of((nll, entropy))


def test_shapes_that_are_not_windows_by_positions_are_refused():
    nll, entropy = language_like(20, 4)
    for wrong in [(nll.ravel(), entropy.ravel()), (nll, entropy[:10]), (nll[:0], entropy[:0])]:
        with pytest.raises(InputError, match="windows, positions"):
            certificate_of(wrong)


@pytest.mark.parametrize("windows", [1, 2, 3])
def test_too_few_windows_are_refused(windows):
    with pytest.raises(InputError, match="two windows for the pilot and two for the rest"):
        certificate_of(language_like(windows))


@pytest.mark.parametrize("wrong", [{"confidence": "normal"}, {"pilot_share": 0.0}, {"pilot_share": 1.0}, {"draw_failure_probability": 1.0}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError, match="certificate"):
        CertificateSettings(**wrong)


def test_a_value_outside_a_range_too_narrow_stops_the_certificate(scores, monkeypatch):
    """A mistake in the range cannot pass silently when the draw shows it."""
    exact = linearization.Room.linearized

    def narrow(room, weight, c):
        found = exact(room, weight, c)
        return linearization.BoundedMean(found.values, found.low, float(np.median(found.values)), found.constant)

    monkeypatch.setattr(linearization.Room, "linearized", narrow)
    with pytest.raises(InputError, match="range must cover"):
        certificate_of(scores)


@pytest.mark.parametrize("code_length_bits", [10**6, 10**8, 10**9])
@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_a_code_far_longer_than_the_data_gives_a_vacuous_certificate_not_an_error(code_length_bits, scale):
    nll = scale * np.abs(np.random.default_rng(0).normal(size=(64, 16)))
    certificate = certify(nll, np.zeros_like(nll), 512, 10_000, code_length_bits, CertificateSettings())
    assert np.isfinite(certificate["value"])
    assert certificate["value"] > np.log(512)
    assert recheck.disagreements(nll, np.zeros_like(nll), certificate) == []
