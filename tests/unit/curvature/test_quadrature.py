"""Stochastic Lanczos quadrature on matrices whose spectrum is known."""

import numpy as np
import pytest
import torch

from scalebound.curvature import quadrature
from scalebound.curvature.lanczos import lanczos
from scalebound.errors import InputError

SIZE = 60


def matrix(spectrum, seed=0):
    """A symmetric matrix with the given eigenvalues and random eigenvectors."""
    basis, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(spectrum), len(spectrum))))
    return (basis * np.asarray(spectrum)) @ basis.T


def products(array):
    operator = torch.from_numpy(array)
    return lambda vector: operator @ vector


def rule(array, start, steps):
    recurrence = lanczos(products(array), torch.from_numpy(start), steps)
    return quadrature.gauss_rule(recurrence.alpha, recurrence.beta)


def left_out(array, start, steps):
    """The error of the rule at degree 2 k: the product of the squared off-diagonals."""
    recurrence = lanczos(products(array), torch.from_numpy(start), steps)
    return np.prod(np.square(recurrence.beta))


@pytest.fixture(scope="module")
def known():
    """A bulk around zero with a negative side, and three eigenvalues far out, as loss Hessians have them."""
    return matrix(np.concatenate([np.linspace(-0.5, 1, SIZE - 3), [5, 9, 20]]))


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_polynomials_up_to_degree_2k_minus_1_are_integrated_exactly_and_the_next_is_not(known, steps):
    start = quadrature.signs(3, 0, SIZE)
    nodes, weights, _ = rule(known, start, steps)
    for degree in range(2 * steps + 1):
        exact = start @ np.linalg.matrix_power(known / 20, degree) @ start
        found = (weights * (nodes / 20) ** degree).sum()
        if degree < 2 * steps:
            assert found == pytest.approx(exact, rel=1e-10, abs=1e-13)
        else:
            assert abs(found - exact) > 1e-9


def test_all_steps_give_the_spectrum_itself(known):
    start = quadrature.signs(3, 0, SIZE)
    values, vectors = np.linalg.eigh(known)
    nodes, weights, residuals = rule(known, start, SIZE)
    np.testing.assert_allclose(nodes, values, atol=1e-10)
    np.testing.assert_allclose(weights, (vectors.T @ start) ** 2, atol=1e-10)
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    assert residuals.max() < 1e-10


def test_extreme_eigenvalues_converge_long_before_the_bulk_and_each_node_is_within_its_residual(known):
    values = np.linalg.eigvalsh(known)
    nodes, _, residuals = rule(known, quadrature.signs(3, 0, SIZE), 16)
    np.testing.assert_allclose(nodes[-3:], values[-3:], rtol=1e-6)
    distance = np.abs(nodes[:, None] - values[None]).min(axis=1)
    assert (distance <= residuals + 1e-10).all()
    assert residuals.max() > 1e-3


def test_without_reorthogonalisation_large_eigenvalues_come_twice(known):
    """What the full reorthogonalisation is for: the plain recurrence on the same matrix has copies, this one has none."""
    values = np.concatenate([np.linspace(0, 1, SIZE - 1), [1e6]])
    start, array = quadrature.signs(1, 0, SIZE), matrix(values)
    nodes, _, _ = rule(array, start, SIZE)
    assert (nodes > 1e5).sum() == 1
    alpha, beta, before, here = [], [0.0], np.zeros(SIZE), start
    for _ in range(SIZE):
        image = array @ here - beta[-1] * before
        alpha.append(image @ here)
        image = image - alpha[-1] * here
        beta.append(np.linalg.norm(image))
        before, here = here, image / beta[-1]
    assert (quadrature.gauss_rule(alpha, beta[1:])[0] > 1e5).sum() > 1


def test_means_over_probes_approach_trace_and_negative_share(known):
    rules = [rule(known, quadrature.signs(5, k, SIZE), 30)[:2] for k in range(200)]
    values = np.linalg.eigvalsh(known)
    for function in (lambda x: x, np.square, lambda x: np.maximum(x, 0) / (np.maximum(x, 0) + 0.01)):
        mean, error = quadrature.integral(rules, function)
        assert error > 0
        assert abs(mean - function(values).mean()) < 4 * error
    share, _ = quadrature.integral(rules, lambda x: x < 0)
    assert share == pytest.approx((values < 0).mean(), abs=0.03)


def test_an_invariant_subspace_ends_the_recurrence():
    """Two different eigenvalues: after two steps nothing is left, and the rule is exact."""
    array = matrix([1.0] * 10 + [4.0] * 30)
    recurrence = lanczos(products(array), torch.from_numpy(quadrature.signs(0, 0, 40)), 20)
    assert len(recurrence.alpha) == 2
    np.testing.assert_allclose(quadrature.gauss_rule(recurrence.alpha, recurrence.beta)[0], [1, 4], atol=1e-10)


def test_probes_are_signs_that_the_seed_and_their_number_fix():
    first = quadrature.signs(7, 0, 1000)
    assert set(np.unique(first * np.sqrt(1000)).round(12)) == {-1, 1}
    np.testing.assert_array_equal(first, quadrature.signs(7, 0, 1000))
    assert abs(first @ quadrature.signs(7, 1, 1000)) < 0.2
    assert abs(first @ quadrature.signs(8, 0, 1000)) < 0.2


def test_a_product_that_is_not_finite_is_refused(known):
    damaged = known.copy()
    damaged[3, 4] = np.nan
    with pytest.raises(InputError, match="not finite"):
        lanczos(products(damaged), torch.from_numpy(quadrature.signs(0, 0, SIZE)), 5)


def test_the_error_of_one_probe_is_not_known():
    assert np.isnan(quadrature.mean_and_error([1.0])[1])
    assert quadrature.mean_and_error([1.0, 3.0]) == (2.0, pytest.approx(1.0))
