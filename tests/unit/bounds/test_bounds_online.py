"""(D): its identities, its range by brute force, what its grids pay for, the later part of a stream, and its refusals."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sources import scores_of, text_like, uniform_reference

from scalebound.bounds import later_part, online_room, online_scores, smoothing
from scalebound.bounds.ceilings import EntropyCeilings, Grids, family_of, grids_of
from scalebound.bounds.certificate import CertificateSettings, certify_scores, chosen_weight, plug_in, split
from scalebound.bounds.evaluation import evaluate_online
from scalebound.bounds.geometric import geometric_bound
from scalebound.bounds.linearization import BoundedMean, room_under
from scalebound.bounds.online import OnlineCeilings, OnlineGrids
from scalebound.bounds.online_room import Limits, OnlineRoom
from scalebound.bounds.online_room import online_room as room_at
from scalebound.bounds.online_scores import ROUNDING, OnlineScores, largest_possible, reference_alpha, reference_ceiling
from scalebound.bounds.token_scores import TokenScores
from scalebound.errors import InputError

GRIDS = OnlineGrids(alpha_points=3, alpha_max=0.09, floor_points=3, level_points=9, level_max=30.0, reference_points=4, reference_max=1e4)
FAMILY = OnlineCeilings(GRIDS)
ALPHAS = FAMILY.axes["alpha"]
TOKENS, BITS = 1_000_000, 160_000  # C = 0.111


@pytest.fixture(scope="module")
def scores():
    return text_like(300, 24, seed=0, alphas=ALPHAS)


@pytest.fixture(scope="module")
def certificate(scores):
    return certified(scores)


def certified(scores, **changes):
    chosen = {"method": "online", "grids": GRIDS, "pilot_share": 0.2, **changes}
    return certify_scores(scores, TOKENS, BITS, CertificateSettings(**chosen))


def random_point(rng, family=FAMILY):
    return {name: float(rng.choice(axis)) for name, axis in family.axes.items()}


def test_by_hand():
    """Two tokens, V = 4, a = 1/2, b = 1/4: p / 2 + 1/8 and 3 r / 4 + 1/16."""
    # p(x) = 1/4, 3/4 -> 1/4, 1/2; r(x) = 1/4, 11/12 -> 1/4, 3/4
    nll, reference_nll = -np.log([[0.25, 0.75]]), -np.log([[0.25, 11 / 12]])
    given_scores = OnlineScores(nll, reference_nll, [[[math.log(2), math.log(2)]]], [0.5], 4)
    room = room_at({"alpha": 0.5, "floor": 0.25, "level": 0.5, "reference_level": 1.0}, given_scores)
    # Y = log 4, log 4/3 under log 16 + 1; Z = 0, log 3/2 under log 2 + 0.25 and a rounding of 1e-4
    ceiling, largest = math.log(16) + 1, math.log(2) + 0.2501
    first = ceiling - math.sqrt((ceiling - math.log(4)) * (ceiling - math.log(4 / 3))) * math.exp(-0.01)
    second = largest - math.sqrt(largest * (largest - math.log(1.5))) * math.exp(-0.2)
    assert room.geometric((0.01, 0.2)) == pytest.approx(first + second, rel=1e-14)
    assert room.loss == pytest.approx((math.log(4) + math.log(2)) / 2, rel=1e-14)


def test_the_uniform_reference_gives_the_geometric_bound():
    """Theory, section 13: with Y = S = log V, the second half is (G) with ceilings log V above, whatever b is."""
    rng, v, c = np.random.default_rng(1), 50, 0.13
    p = rng.dirichlet(np.full(v, 0.3), (40, 16))
    tokens = rng.integers(v, size=(40, 16))
    own = scores_of(p, p, tokens, ALPHAS)
    uniform = uniform_reference(own, p.min(axis=-1))
    entropies = -(p * np.log(np.maximum(p, 1e-300))).sum(axis=-1)
    for alpha in own.alphas:
        for offset in (0.01, 1.0, 7.0):
            level = float(smoothing.worst_case_loss(alpha, v) - math.log(v) + offset)
            room = room_at({"alpha": alpha, "floor": 0.001, "level": level, "reference_level": 20.0}, uniform)
            geometric = room_under(
                EntropyCeilings(Grids()), {"alpha": alpha, "floor": 0.001, "offset": offset, "slope": 0.0}, TokenScores(own.nll, entropies, v)
            )
            assert math.log(v) + room.difference.geometric(c) == pytest.approx(geometric.geometric(c), rel=1e-12)
            # the half for Y knows that it is constant, but pays for its ceiling all the same
            price = -math.expm1(-1e-4) * (reference_ceiling(alpha, 20.0, v) - math.log(v))
            assert room.reference.geometric(1e-4) == pytest.approx(math.log(v) + price, rel=1e-12)


def test_the_reference_itself_as_hypothesis_leaves_the_price_of_the_ceilings(monkeypatch):
    """r = p, smoothed alike: Z = 0, m = 0, and (D) is the reference's bound plus b (1 - exp(-C))."""
    monkeypatch.setattr(online_scores, "REFERENCE_SHARE", 1.0)
    rng, c = np.random.default_rng(2), np.array([1e-3, 0.1])
    p = rng.dirichlet(np.full(20, 0.5), (30, 8))
    same = scores_of(p, p, rng.integers(20, size=(30, 8)), ALPHAS)
    for level, ceiling in ((0.01, 0.05 + ROUNDING), (2.0, 2.0)):
        room = room_at({"alpha": same.alphas[0], "floor": 0.05, "level": level, "reference_level": 30.0}, same)
        assert np.abs(same.differences(same.alphas[0])).max() == 0
        assert room.geometric(c) == pytest.approx(room.reference.geometric(c[0]) - ceiling * math.expm1(-c[1]), rel=1e-13)


def random_limits(rng):
    """`Limits` and weights of any size, with vocabularies from 2 to 50,000."""
    v, alpha = int(np.exp(rng.uniform(math.log(2), math.log(5e4)))), float(np.exp(rng.uniform(math.log(1e-3), math.log(0.5))))
    floor, level, reference_level = (float(np.exp(rng.uniform(*np.log(ends)))) for ends in ((0.01, 3), (0.03, 40), (5, 1e4)))
    top = float(reference_ceiling(alpha, reference_level, v))
    ends = smoothing.smoothed_range(alpha, v), smoothing.smoothed_range(reference_alpha(alpha), v)
    limits = Limits(*ends, top, level, floor, largest_possible(alpha, v))
    return limits, (reference_level * np.exp(rng.uniform(-1, 1)), float(np.exp(rng.uniform(-5, 3))))


def mesh_of(limits, points=60):
    """(X, Y, b) over the whole domain of a token, ends and edges among them."""
    (x0, x1), (y0, y1) = limits.losses, limits.reference_losses
    lower, upper = max(limits.level, limits.floor), max(limits.level, limits.largest + limits.floor)
    edge = x1 + limits.floor - lower
    x, y = np.meshgrid(np.linspace(x0, x1, 12), np.sort(np.append(np.linspace(y0, y1, 400), np.clip(edge, y0, y1))), indexing="ij")
    least = np.maximum(lower, x - y + limits.floor)
    share = np.sort(np.append(np.linspace(0, 1, points), np.geomspace(1e-4, 0.5, points)))
    return x[..., None], y[..., None], least[..., None] + share * (upper - least)[..., None]


def test_the_range_of_the_sum_is_that_of_every_loss_and_ceiling_that_could_occur():
    rng = np.random.default_rng(3)
    for _ in range(60):
        limits, (w0, w1) = random_limits(rng)
        x, y, b = mesh_of(limits)
        values = limits.reference_ceiling - w0 * np.log(limits.reference_ceiling - y) + b - w1 * np.log(b - x + y)
        low, high = limits.value_range((w0, w1))
        width = high - low
        assert values.max() == pytest.approx(high, abs=1e-8 * (1 + width))
        assert values.min() >= low - 1e-8 * (1 + width)
        assert values.min() == pytest.approx(low, abs=2e-3 * (1 + width))


def test_the_range_of_the_sum_is_narrower_than_the_sum_of_the_ranges():
    rng = np.random.default_rng(4)
    for _ in range(30):
        limits, (w0, w1) = random_limits(rng)
        x, y, b = mesh_of(limits)
        first, second = limits.reference_ceiling - w0 * np.log(limits.reference_ceiling - y), b - w1 * np.log(b - x + y)
        low, high = limits.value_range((w0, w1))
        assert high - low < np.ptp(first) + np.ptp(second)


def extreme_scores(rng, v, alphas, pairs=400):
    """One token a window: every token under pairs of distributions that are sharp, equal, or in between."""
    sharp = np.eye(v)[rng.integers(v, size=(2, pairs))]
    soft = rng.dirichlet(np.full(v, 0.1), (2, pairs))
    p, r = (rng.choice([0, 1], (2, pairs, 1)) * (sharp - soft) + soft).reshape(2, pairs, v)
    r = np.where(rng.random((pairs, 1)) < 0.3, p, r)
    tokens = np.arange(pairs * v) % v
    return scores_of(np.repeat(p, v, axis=0)[:, None], np.repeat(r, v, axis=0)[:, None], tokens[:, None], alphas)


@pytest.mark.parametrize("v", [3, 7, 40])
def test_no_pair_of_distributions_leaves_the_range_and_some_reach_its_end(v):
    rng = np.random.default_rng(5)
    every = extreme_scores(rng, v, ALPHAS)
    for _ in range(40):
        point = random_point(rng)
        room = room_at(point, every)
        weights = room.touching_weight((1e-4, 0.1)) * np.exp(rng.uniform(-1, 0.5, 2) * (0.01, 1))
        bounded = room.linearized(weights, (1e-4, 0.1))
        assert bounded.low <= bounded.values.min() + 1e-9
        assert bounded.high - 0.01 * bounded.width <= bounded.values.max() <= bounded.high + 1e-9


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.floats(0.02, 4), st.floats(0.9, 1.1))
def test_the_mean_of_the_bounded_values_is_at_least_the_bound(seed, factor, reference_factor):
    rng = np.random.default_rng(seed)
    sample, point, c = text_like(6, 5, seed, ALPHAS), random_point(rng), np.array([rng.uniform(1e-6, 1e-2), rng.uniform(1e-4, 0.4)])
    room = room_at(point, sample)
    bounded = room.linearized(room.touching_weight(c) * (reference_factor, factor), c)
    exact = sum(
        (
            geometric_bound(reference_ceiling(point["alpha"], point["reference_level"], 30), reference_losses(sample, point["alpha"]), c[0]),
            geometric_bound(np.maximum(sample.largest_differences(point["alpha"]) + point["floor"], point["level"]), sample.differences(point["alpha"]), c[1]),
        )
    )
    mean = bounded.values.mean() + bounded.constant
    assert mean == pytest.approx(room.tangent(room.touching_weight(c) * (reference_factor, factor), c), abs=1e-9)
    assert mean >= exact - 1e-9
    assert room.geometric(c) == pytest.approx(exact, rel=1e-12)
    assert room.linearized(room.touching_weight(c), c).values.mean() + room.linearized(room.touching_weight(c), c).constant == pytest.approx(exact, abs=1e-9)


def reference_losses(scores, alpha):
    return smoothing.smoothed_loss(scores.reference_nll, reference_alpha(alpha), scores.vocab_size)


def test_each_half_pays_for_what_it_depends_on_and_for_half_of_the_failure_probability():
    c0, c = FAMILY.complexity(BITS, TOKENS, 0.001)
    assert c0 == pytest.approx(math.log(3 * 4 / 0.0005) / TOKENS, rel=1e-13)
    assert c == pytest.approx((BITS * math.log(2) + math.log(3 * 3 * 9 / 0.0005)) / TOKENS, rel=1e-13)


@pytest.mark.parametrize("seed", range(3))
def test_the_plug_in_is_near_the_least_of_its_grids(seed):
    sample, c = text_like(60, 10, seed, ALPHAS), (1e-4, 0.1)
    axes = FAMILY.axes
    points = [
        {"alpha": a, "floor": f, "level": t, "reference_level": y}
        for a in axes["alpha"]
        for f in axes["floor"]
        for t in axes["level"]
        for y in axes["reference_level"]
    ]
    least = min(room_at(point, sample).geometric(c) for point in points)
    assert least <= plug_in(FAMILY, sample, c)["value"] <= least + 1e-9


def test_the_estimate_has_its_halves(scores):
    found = evaluate_online(scores, TOKENS, BITS, 0.01, GRIDS)
    assert found["bound"] == pytest.approx(found["reference_bound"] + found["difference_bound"], rel=1e-12)
    assert found["reference_bound"] > found["reference_smoothed_loss"]
    assert found["reference_loss"] == pytest.approx(scores.reference_nll.mean())
    z = scores.differences(found["point"]["alpha"])
    assert (found["difference"], found["difference_second_moment"]) == (pytest.approx(z.mean()), pytest.approx((z**2).mean()))
    assert found["mean_largest_difference"] == pytest.approx(scores.largest_differences(found["point"]["alpha"]).mean())


def test_the_difference_pays_less_than_the_loss_would(scores):
    """The reason for it all: at the same code length (D) is far below (G), whose room is the whole loss."""
    online = evaluate_online(scores, TOKENS, BITS, 0.01, GRIDS)["bound"]
    entropies = np.full_like(scores.nll, scores.nll.mean())
    family = family_of("geometric", Grids(alpha_points=12, floor_points=2, offset_points=25, slope_points=3))
    geometric = plug_in(family, TokenScores(scores.nll, entropies, 30), family.complexity(BITS, TOKENS, 0.01))["value"]
    assert online - scores.nll.mean() < 0.7 * (geometric - scores.nll.mean())


def test_terms_add_up_and_the_result_survives_json(certificate, scores):
    assert sum(certificate["terms"].values()) == pytest.approx(certificate["value"], rel=1e-13)
    assert certificate["terms"]["loss"] == pytest.approx(scores.nll[60:].mean(), rel=1e-14)
    assert min(certificate["terms"][name] for name in ("smoothing", "generalization", "sampling")) > 0
    assert certificate["value"] == certificate["values"]["betting"] > certificate["estimate"]["same_choice"]
    assert json.loads(json.dumps(certificate, allow_nan=False)) == certificate
    assert certificate["C_reference"] < 1e-4 < certificate["C"]


def test_choices_depend_on_the_pilot_alone(scores, certificate):
    other = text_like(300, 24, seed=9, alphas=ALPHAS)

    def joined(first, second):
        columns = [np.concatenate([getattr(first, name), getattr(second, name)]) for name in ("nll", "reference_nll")]
        largest = [np.concatenate(pair) for pair in zip(first.largest, second.largest)]
        return OnlineScores(*columns, largest, ALPHAS, 30)

    pilot, _ = split(scores, 0.2)
    assert certified(joined(pilot, other.of(slice(60, None))))["choice"] == certificate["choice"]
    assert certified(joined(other.of(slice(60)), scores.of(slice(60, None))))["choice"] != certificate["choice"]


def test_the_choices_of_a_certificate_give_its_weights_back(certificate):
    assert chosen_weight(FAMILY, certificate["choice"]) == [certificate["choice"]["reference_weight"], certificate["choice"]["weight"]]


def test_a_value_outside_a_range_too_narrow_stops_the_certificate(scores, monkeypatch):
    exact = OnlineRoom.linearized

    def narrow(room, weights, c):
        found = exact(room, weights, c)
        return BoundedMean(found.values, found.low, float(np.median(found.values)), found.constant)

    monkeypatch.setattr(online_room.OnlineRoom, "linearized", narrow)
    with pytest.raises(InputError, match="range must cover"):
        certified(scores)


@pytest.mark.parametrize("code_length_bits", [10**7, 10**9])
def test_a_code_far_longer_than_the_data_gives_a_vacuous_certificate_not_an_error(scores, code_length_bits):
    found = certify_scores(scores, 10_000, code_length_bits, CertificateSettings(method="online", grids=GRIDS))
    assert np.isfinite(found["value"])
    assert found["value"] > scores.nll.mean() + 1


def columns(scores):
    return {"nll": scores.nll.copy(), "reference_nll": scores.reference_nll.copy(), "largest": [x.copy() for x in scores.largest]}


def spoilt(scores, spoil):
    given_columns = columns(scores)
    spoil(given_columns)
    return OnlineScores(**given_columns, alphas=ALPHAS, vocab_size=30)


def put(name, value):
    def spoil(given_columns):
        target = given_columns["largest"][1] if name == "largest" else given_columns[name]
        target[2, 3] = value

    return spoil


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (put("nll", np.nan), "NaN or infinite"),
        (put("reference_nll", np.inf), "NaN or infinite"),
        (put("largest", np.nan), "NaN or infinite"),
        (put("nll", -0.1), "not negative"),
        (put("reference_nll", -0.1), "not negative"),
        (put("largest", -0.01), "between 0 and"),
        (put("largest", 60.0), "between 0 and"),
        (put("nll", 20.0), "window 2, position 3 .* above the stated largest"),
        (lambda given_columns: given_columns["largest"].pop(), "2 largest differences"),
        (lambda given_columns: given_columns.update(nll=given_columns["nll"][:-1]), "windows, positions"),
    ],
)
def test_columns_that_are_no_scores_are_refused(scores, spoil, word):
    with pytest.raises(InputError, match=word):
        spoilt(scores, spoil)


def test_columns_of_another_alpha_are_refused(scores):
    """The largest differences of twice the smoothing weight lie below some that occurred."""
    with pytest.raises(InputError, match="above the stated largest"):
        OnlineScores(scores.nll, scores.reference_nll, [scores.largest[-1]], [ALPHAS[0]], 30)


def test_what_rounding_takes_off_a_largest_difference_is_put_back(scores):
    alpha = scores.alphas[0]
    rounded = OnlineScores(scores.nll, scores.reference_nll, [x - ROUNDING * 0.99 for x in scores.largest], ALPHAS, 30)
    assert (rounded.largest_differences(alpha) >= scores.largest[0]).all()
    assert (rounded.largest_differences(alpha) >= rounded.differences(alpha)).all()


@pytest.mark.parametrize("wrong", [{"alpha_min": 0}, {"alpha_max": 1.0}, {"floor_min": 0}, {"level_max": 0.01}, {"reference_points": 0}, {"level_min": np.nan}])
def test_grids_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError, match="grids"):
        OnlineGrids(**wrong)


def test_grids_of_another_method_and_settings_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match="OnlineGrids"):
        family_of("online", Grids())
    with pytest.raises(InputError, match="slope_points"):
        grids_of("online", {"slope_points": 3})
    with pytest.raises(InputError, match="online"):
        grids_of("azuma", {})


def test_the_first_row_behind_a_share_is_exact():
    assert [later_part.first_row(share, 30) for share in (0, 0.0, 0.1, 0.5, 0.501, 0.9)] == [0, 0, 3, 15, 16, 27]
    for share in (-0.1, 1.0, 1, float("nan"), 0.99):
        with pytest.raises(InputError, match="share"):
            later_part.first_row(share, 30)


def test_the_later_part_is_certified_from_the_windows_that_fall_into_it(scores):
    rows = np.random.default_rng(6).integers(1000, size=len(scores))
    later = scores.of(rows >= later_part.first_row(0.5, 1000))
    found = certified(later)
    assert found["windows"]["pilot"] + found["windows"]["rest"] == len(later) == (rows >= 500).sum()
    assert found["terms"]["loss"] == pytest.approx(later.nll[found["windows"]["pilot"] :].mean())
