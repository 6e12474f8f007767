"""Chinchilla's law: constants that were put in come out, intervals hold them, and the integral is the area under the curve."""

import numpy as np
import pytest
from scipy.integrate import quad

from scalebound.errors import InputError
from scalebound.laws import chinchilla

TRUE = chinchilla.Law(1.7, 80.0, 300.0, 0.35, 0.37)
SIZES = np.array([2e4, 5e4, 1e5, 3e5, 6e5])


def points(noise, seed=3):
    n = np.repeat(SIZES, 12)
    d = n * np.tile(np.geomspace(1, 40, 12), len(SIZES))
    losses = TRUE.loss(n, d) * np.exp(noise * np.random.default_rng(seed).standard_normal(len(n)))
    return n, d, losses, n


def test_the_law_of_exact_points_is_found():
    found = chinchilla.fit(*points(0), bootstrap=0, seed=1)
    assert not found.at_edge
    n, d, losses, _ = points(0)
    np.testing.assert_allclose(found.law.loss(n, d), losses, rtol=1e-3)
    assert found.law.alpha == pytest.approx(TRUE.alpha, rel=0.1)
    assert found.law.beta == pytest.approx(TRUE.beta, rel=0.1)


def test_intervals_hold_what_was_put_in_and_shrink_with_the_noise():
    wide, narrow = (chinchilla.fit(*points(noise), bootstrap=40, seed=1) for noise in (0.01, 0.001))
    for found in (wide, narrow):
        assert found.intervals["beta"][0] < found.law.beta < found.intervals["beta"][1]
    assert wide.intervals["beta"][0] < TRUE.beta < wide.intervals["beta"][1]
    width = [found.intervals["beta"][1] - found.intervals["beta"][0] for found in (wide, narrow)]
    assert width[1] < width[0]


def test_the_same_seed_gives_the_same_intervals():
    assert chinchilla.fit(*points(0.01), 20, 5).intervals == chinchilla.fit(*points(0.01), 20, 5).intervals
    assert chinchilla.fit(*points(0.01), 20, 5).intervals != chinchilla.fit(*points(0.01), 20, 6).intervals


def test_a_law_without_a_floor_says_that_it_is_at_an_edge():
    n, d, _, groups = points(0)
    flat = chinchilla.Law(0.0, 80.0, 300.0, 0.35, 0.37)
    assert chinchilla.fit(n, d, flat.loss(n, d), groups, 0, 1).at_edge


def test_outliers_move_the_fit_little():
    """What the Huber loss is for."""
    n, d, losses, groups = points(0)
    losses[7] *= 1.5
    found = chinchilla.fit(n, d, losses, groups, 0, 1)
    np.testing.assert_allclose(np.delete(found.law.loss(n, d), 7), np.delete(TRUE.loss(n, d), 7), rtol=0.01)


@pytest.mark.parametrize("keep", [slice(0, 9), slice(0, 12)])
def test_too_few_points_or_one_size_are_refused(keep):
    with pytest.raises(InputError, match="ten points of two sizes"):
        chinchilla.fit(*(x[keep] for x in points(0)), 0, 1)


@pytest.mark.parametrize("law", chinchilla.PUBLISHED.values(), ids=list(chinchilla.PUBLISHED))
def test_information_is_the_area_above_the_final_loss(law):
    # the substitution D = t^2 takes the singularity at 0 away
    area, _ = quad(lambda t: 2 * t * law.B * ((t * t) ** -law.beta - 1e12**-law.beta), 0, 1e6, limit=500)
    assert law.information(1e12) == pytest.approx(area, rel=1e-3)


def test_information_of_a_law_that_falls_too_fast_is_infinite():
    with pytest.raises(InputError, match="diverges"):
        chinchilla.Law(1, 1, 1, 0.3, 1.0).information(1e6)


def test_published_constants_give_the_published_optimum():
    """Hoffmann et al.: at 70 billion parameters and 1.4 trillion tokens the law says about 1.94 nats."""
    assert float(chinchilla.PUBLISHED["Hoffmann et al. 2022"].loss(7e10, 1.4e12)) == pytest.approx(1.937, abs=0.002)
