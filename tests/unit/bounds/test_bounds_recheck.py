"""The independent recomputation agrees with every certificate, and notices every single number that is off."""

import ast
import copy
import inspect
import math

import numpy as np
import pytest

from scalebound.bounds import recheck
from scalebound.bounds.ceilings import Grids, family_of
from scalebound.bounds.certificate import CertificateSettings, certify
from scalebound.bounds.linearization import room_under
from scalebound.bounds.recheck import disagreements, recompute
from scalebound.bounds.token_scores import TokenScores

V = 300
SMALL = Grids(alpha_points=6, s_points=25, floor_points=3, offset_points=12, slope_points=6)


def scores_of(seed, windows=90, positions=20):
    rng = np.random.default_rng(seed)
    entropy = np.minimum(rng.gamma(1.5, 1.2, (windows, positions)), math.log(V))
    return entropy * rng.exponential(1, (windows, positions)), entropy


def made(method="geometric", confidence="betting", seed=0, **changes):
    scores = scores_of(seed)
    settings = CertificateSettings(**{"method": method, "confidence": confidence, "pilot_share": 0.3, "grids": SMALL, **changes})
    return scores, certify(*scores, V, 200_000, 30_000, settings)


@pytest.fixture(scope="module", params=["geometric", "freedman"])
def sound(request):
    return made(request.param)


@pytest.mark.parametrize("method", ["geometric", "freedman"])
@pytest.mark.parametrize("confidence", ["betting", "empirical_bernstein", "hoeffding"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_sound_certificate_agrees_to_rounding(method, confidence, seed):
    scores, certificate = made(method, confidence, seed)
    assert disagreements(*scores, certificate, tolerance=1e-11) == []


@pytest.mark.parametrize("points", [1, 2])
def test_grids_of_one_and_two_points_agree(points):
    grids = Grids(alpha_points=points, s_points=points, floor_points=points, offset_points=points, slope_points=points)
    for method in ("geometric", "freedman"):
        scores, certificate = made(method, grids=grids)
        assert disagreements(*scores, certificate) == []


def test_a_large_alpha_agrees():
    scores, certificate = made("freedman", grids=Grids(alpha_points=1, alpha_min=0.97, alpha_max=0.97, s_points=3))
    assert disagreements(*scores, certificate) == []


def numbers(value, path=()):
    """Paths of all numbers that are stated."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, (*path, key))
    elif isinstance(value, int | float):
        yield path


def changed(certificate, path, change):
    other = copy.deepcopy(certificate)
    inner = other
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = change(inner[path[-1]])
    return other


def unused(method):
    """Settings of grids that the method does not search, which nothing follows from."""
    own = ("alpha", "s_") if method == "freedman" else ("alpha", "floor", "offset", "slope")
    return {("settings", "grids", name) for name in vars(SMALL) if not name.startswith(own)}


def test_every_number_that_is_changed_is_noticed(sound):
    scores, certificate = sound
    paths = set(numbers(certificate)) - unused(certificate["settings"]["method"])
    assert len(paths) > 30
    unnoticed = [path for path in paths if not disagreements(*scores, changed(certificate, path, lambda x: x * 1.05 + 1e-4 if isinstance(x, float) else x + 1))]
    assert unnoticed == []


@pytest.mark.parametrize("path", [("value",), ("C",), ("terms", "sampling"), ("values", "hoeffding"), ("estimate", "best", "value")])
def test_a_stated_number_off_by_a_millionth_is_named(sound, path):
    scores, certificate = sound
    found = disagreements(*scores, changed(certificate, path, lambda x: x * (1 + 1e-6) + 1e-6))
    assert [name for name, _, _ in found] == [".".join(path)]


@pytest.mark.parametrize("stated", [None, "3.2", float("nan")])
def test_a_value_that_is_no_number_is_named(sound, stated):
    scores, certificate = sound
    assert [name for name, _, _ in disagreements(*scores, changed(certificate, ("value",), lambda _: stated))] == ["value"]


def test_other_scores_are_noticed(sound):
    (nll, entropy), certificate = sound
    other = nll.copy()
    other[-1, -1] += 0.01
    assert "value" in [name for name, _, _ in disagreements(other, entropy, certificate)]


def test_a_point_off_its_grid_is_noticed_even_if_everything_else_follows_it(sound):
    scores, certificate = sound
    other = changed(certificate, ("choice", "point", "alpha"), lambda x: x * 1.001)
    for name, value in recompute(*scores, other).items():
        other = changed(other, tuple(name.split(".")), lambda _, value=value: value)
    if certificate["settings"]["method"] == "freedman":
        other = changed(other, ("choice", "weight"), lambda _: math.log(V / other["choice"]["point"]["alpha"]) / other["choice"]["point"]["s"])
    assert [name for name, _, _ in disagreements(*scores, other)] == ["choice: alpha is not on its grid"]


@pytest.mark.parametrize(
    ("path", "value", "name"),
    [
        (("kind",), "estimate", "kind"),
        (("choice", "bet_ceiling"), 1.0, "the bet's ceiling is not above the range"),
        (("settings", "draw_failure_probability"), 1.0, "failure probabilities are not in (0, 1)"),
        (("choice", "point"), {"alpha": 0.5}, "choice: axes of the point"),
        (("settings", "grids", "floor_min"), 0.0, "the smallest floor is not above 0"),
    ],
)
def test_conditions_that_are_broken_are_named(sound, path, value, name):
    scores, certificate = sound
    assert name in [found for found, _, _ in disagreements(*scores, changed(certificate, path, lambda _: value))]


def test_another_weight_of_the_tangent_is_valid_for_the_geometric_bound_but_not_for_freedman():
    """Restated throughout at another weight, (G) still holds; (F) would not be (F)."""
    for method in ("geometric", "freedman"):
        scores, certificate = made(method)
        other = changed(certificate, ("choice", "weight"), lambda x: 0.97 * x)
        for name, value in recompute(*scores, other).items():
            other = changed(other, tuple(name.split(".")), lambda _, value=value: value)
        names = [name for name, _, _ in disagreements(*scores, other)]
        assert names == ([] if method == "geometric" else ["the weight is not D / s"])


def test_the_range_agrees_at_any_weight_also_where_its_least_value_is_between_the_ends():
    steep = Grids(alpha_points=3, floor_points=1, offset_points=5, slope_points=1, slope_max=3.0)
    scores, certificate = made(grids=steep)
    point, between = certificate["choice"]["point"], 0
    room = room_under(family_of("geometric", steep), point, TokenScores(*(x[27:] for x in scores), V))
    for factor in np.geomspace(0.1, 10, 15):
        other = changed(certificate, ("choice", "weight"), lambda x, factor=factor: factor * x)
        weight, found = other["choice"]["weight"], recompute(*scores, other)
        bounded = room.linearized(weight, certificate["C"])
        assert (found["range.low"], found["range.high"]) == pytest.approx((bounded.low, bounded.high), rel=1e-12)
        between += room.ceilings[0] < room.losses[0] + weight < room.ceilings[1]
    assert between >= 2


def test_nothing_is_shared_with_the_modules_that_make_certificates():
    tree = ast.parse(inspect.getsource(recheck))
    imported = [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    assert imported == ["numpy"]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
