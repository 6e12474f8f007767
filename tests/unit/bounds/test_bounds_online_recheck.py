"""A certificate of (D) recomputed by other code: it agrees with every sound one, and notices every single number that is off."""

import ast
import copy
import inspect
import math

import numpy as np
import pytest
from sources import text_like

from scalebound.bounds import recheck_online
from scalebound.bounds.certificate import CertificateSettings, certify_scores
from scalebound.bounds.online import OnlineCeilings, OnlineGrids
from scalebound.bounds.online_room import online_room
from scalebound.bounds.online_scores import OnlineScores
from scalebound.bounds.recheck_online import disagreements, recompute

GRIDS = OnlineGrids(alpha_points=3, floor_points=3, level_points=9, level_max=30.0, reference_points=4, reference_max=1e4)
ALPHAS = OnlineCeilings(GRIDS).axes["alpha"]


def made(seed=0, grids=GRIDS, **changes):
    scores = text_like(90, 20, seed, OnlineCeilings(grids).axes["alpha"])
    settings = CertificateSettings(**{"method": "online", "pilot_share": 0.3, "grids": grids, **changes})
    return (scores.nll, scores.reference_nll, scores.largest), certify_scores(scores, 200_000, 30_000, settings)


@pytest.fixture(scope="module")
def sound():
    return made()


@pytest.mark.parametrize("confidence", ["betting", "empirical_bernstein", "hoeffding"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_sound_certificate_agrees_to_rounding(confidence, seed):
    columns, certificate = made(seed, confidence=confidence)
    assert disagreements(*columns, certificate, tolerance=1e-10) == []


@pytest.mark.parametrize("points", [1, 2])
def test_grids_of_one_and_two_points_agree(points):
    columns, certificate = made(grids=OnlineGrids(alpha_points=points, floor_points=points, level_points=points, reference_points=points))
    assert disagreements(*columns, certificate) == []


def test_columns_in_single_precision_agree():
    """As files hold them: the certificate is made from the same rounded values."""
    scores = text_like(90, 20, 4, ALPHAS)
    rounded = [column.astype(np.float32) for column in (scores.nll, scores.reference_nll, *scores.largest)]
    certificate = certify_scores(
        type(scores)(rounded[0], rounded[1], rounded[2:], ALPHAS, 30), 200_000, 30_000, CertificateSettings(method="online", grids=GRIDS)
    )
    assert disagreements(rounded[0], rounded[1], rounded[2:], certificate) == []


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


def test_every_number_that_is_changed_is_noticed(sound):
    columns, certificate = sound
    paths = list(numbers(certificate))
    assert len(paths) > 50
    unnoticed = [
        path for path in paths if not disagreements(*columns, changed(certificate, path, lambda x: x * 1.05 + 1e-4 if isinstance(x, float) else x + 1))
    ]
    assert unnoticed == []


@pytest.mark.parametrize("path", [("value",), ("C",), ("C_reference",), ("terms", "sampling"), ("halves", "reference_bound"), ("estimate", "best", "value")])
def test_a_stated_number_off_by_a_millionth_is_named(sound, path):
    columns, certificate = sound
    found = disagreements(*columns, changed(certificate, path, lambda x: x * (1 + 1e-6) + 1e-6))
    assert [name for name, _, _ in found] == [".".join(path)]


@pytest.mark.parametrize("stated", [None, "3.2", float("nan")])
def test_a_value_that_is_no_number_is_named(sound, stated):
    columns, certificate = sound
    assert [name for name, _, _ in disagreements(*columns, changed(certificate, ("value",), lambda _: stated))] == ["value"]


@pytest.mark.parametrize("which", [0, 1])
def test_other_losses_are_noticed(sound, which):
    columns, certificate = sound
    other = [column.copy() if k < 2 else column for k, column in enumerate(columns)]
    other[which][-1, -1] *= 0.99
    assert "value" in [name for name, _, _ in disagreements(*other, certificate)]


def test_smaller_largest_differences_are_noticed(sound):
    """A lower ceiling is the cheapest forgery: below a difference that occurred it is named, elsewhere the value follows."""
    (nll, reference_nll, largest), certificate = sound
    chosen = int(np.argmin(np.abs(ALPHAS - certificate["choice"]["point"]["alpha"])))
    halved = [column / 2 if k == chosen else column for k, column in enumerate(largest)]
    names = [name for name, _, _ in disagreements(nll, reference_nll, halved, certificate)]
    assert names == [f"a difference is above the largest at alpha {ALPHAS[chosen]:g}"]
    point = certificate["choice"]["point"]
    occurred = OnlineScores(nll, reference_nll, largest, ALPHAS, 30).differences(float(ALPHAS[chosen]))
    deciding = (largest[chosen] > point["level"] - point["floor"]) & (occurred < largest[chosen] - 0.1)
    assert deciding[27:].any()
    lower = [column - 0.01 * deciding if k == chosen else column for k, column in enumerate(largest)]
    assert "value" in [name for name, _, _ in disagreements(nll, reference_nll, lower, certificate)]


def test_a_column_too_few_is_named(sound):
    (nll, reference_nll, largest), certificate = sound
    assert disagreements(nll, reference_nll, largest[1:], certificate)[0][0] == "columns of largest differences"


def restated(columns, certificate):
    """Every number that follows, as it would be for these choices."""
    for name, value in recompute(*columns, certificate).items():
        certificate = changed(certificate, tuple(name.split(".")), lambda _, value=value: value)
    return certificate


@pytest.mark.parametrize("axis", ["alpha", "floor", "level", "reference_level"])
def test_a_point_off_its_grid_is_noticed_even_if_everything_else_follows_it(sound, axis):
    columns, certificate = sound
    roomy = changed(certificate, ("choice", "bet_ceiling"), lambda x: x + 1)
    other = restated(columns, changed(roomy, ("choice", "point", axis), lambda x: x * 1.001))
    assert [name for name, _, _ in disagreements(*columns, other)] == [f"choice: {axis} is not on its grid"]


@pytest.mark.parametrize(
    ("path", "value", "name"),
    [
        (("kind",), "estimate", "kind"),
        (("settings", "method"), "geometric", "method"),
        (("choice", "bet_ceiling"), 1.0, "the bet's ceiling is not above the range"),
        (("choice", "reference_weight"), 0.0, "a weight is not positive"),
        (("choice", "weight"), -1.0, "a weight is not positive"),
        (("settings", "stream_failure_probability"), 0.0, "failure probabilities are not in (0, 1)"),
        (("settings", "grids", "floor_min"), 0.0, "a floor or level is not above 0"),
        (("windows", "rest"), 1, "fewer than two windows to bound the mean on"),
        (("choice", "point"), {"alpha": 0.02}, "choice: axes of the point"),
    ],
)
def test_conditions_that_are_broken_are_named(sound, path, value, name):
    columns, certificate = sound
    assert name in [found for found, _, _ in disagreements(*columns, changed(certificate, path, lambda _: value))]


def test_other_weights_of_the_tangents_are_as_valid(sound):
    columns, certificate = sound
    for name, factor in (("weight", 0.97), ("reference_weight", 0.999)):
        other = restated(columns, changed(certificate, ("choice", name), lambda x, factor=factor: factor * x))
        other["choice"]["bet_ceiling"] = other["range"]["high"] - other["range"]["low"] + 1
        assert disagreements(*columns, restated(columns, other)) == []


def test_the_range_agrees_at_any_point_and_weights():
    """Found by corners and by narrowing an interval here, by a closed form there."""
    rng, family = np.random.default_rng(5), OnlineCeilings(GRIDS)
    scores = text_like(4, 3, 0, ALPHAS)
    for _ in range(60):
        point = {name: float(rng.choice(axis)) for name, axis in family.axes.items()}
        w0, w1 = point["reference_level"] * math.exp(rng.uniform(-1, 1)), math.exp(rng.uniform(-5, 3))
        low, high = online_room(point, scores).limits.value_range((w0, w1))
        assert recheck_online._range({"vocab_size": 30}, point, w0, w1) == (pytest.approx(low, abs=1e-8), pytest.approx(high, abs=1e-8))


def test_nothing_is_shared_with_the_modules_that_make_certificates():
    tree = ast.parse(inspect.getsource(recheck_online))
    imported = [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    assert imported == ["numpy"]
    assert [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)] == ["scalebound.bounds.recheck"]
