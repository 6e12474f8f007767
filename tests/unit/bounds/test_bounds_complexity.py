"""C, its refusals, and the grids that it pays for."""

import math

import numpy as np
import pytest

from scalebound.bounds.complexity import alpha_grid, complexity, s_grid
from scalebound.errors import InputError

LOG_2 = 0.6931471805599453


def test_complexity_of_a_small_message():
    # 10 log 2 = 6.931472, log(1000 * 40) = 10.596635, log(1 / 0.05) = 2.995732; their sum over 100 tokens
    assert complexity(10, 100, 0.05, 1000, 40) == pytest.approx(0.20523838812249517, rel=1e-14)


def test_complexity_at_four_bits_a_parameter_and_twenty_tokens_a_parameter():
    # one million parameters: (4e6 log 2 + log 1000 + log 100) / 2e7; the grid and delta are 6e-7 of it
    assert complexity(4_000_000, 20_000_000, 0.01, 1000) == pytest.approx(0.13863001175826231, rel=1e-14)


def test_one_bit_costs_log_2_over_n():
    assert complexity(8, 50, 0.1) - complexity(7, 50, 0.1) == pytest.approx(LOG_2 / 50, rel=1e-12)


def test_an_empty_message_pays_for_the_failure_probability_only():
    assert complexity(0, 1, math.exp(-3)) == pytest.approx(3, rel=1e-15)


def test_doubling_a_grid_costs_one_bit():
    assert complexity(5, 30, 0.1, 8, 6) == pytest.approx(complexity(6, 30, 0.1, 8, 3), rel=1e-14)


def test_a_grid_of_one_point_is_free():
    assert complexity(5, 30, 0.1, 1) == complexity(5, 30, 0.1)


def test_grid_sizes_multiply_without_overflow():
    # log(10^300 * 10^300) = 600 log 10, though the product is no float
    assert complexity(0, 1, 0.1, 10**300, 10**300) == pytest.approx(601 * 2.302585092994046, rel=1e-14)


@pytest.mark.parametrize(
    "arguments",
    [(-1, 10, 0.1), (1, 0, 0.1), (1, -5, 0.1), (1, 10, 0.0), (1, 10, 1.0), (1, 10, -0.1), (1, 10, 1.5), (1, 10, 0.1, 0), (1, 10, 0.1, 5, -1)],
)
def test_arguments_outside_their_range_are_refused(arguments):
    with pytest.raises(InputError, match=r"^complexity: "):
        complexity(*arguments)


@pytest.mark.parametrize("arguments", [(math.nan, 10, 0.1), (1, math.nan, 0.1), (1, 10, math.nan), (1, 10, 0.1, math.nan)])
def test_nan_arguments_are_refused(arguments):
    with pytest.raises(InputError, match=r"^complexity: "):
        complexity(*arguments)


def test_the_refusal_names_the_values_found():
    with pytest.raises(InputError, match=r"L=7 bits, n=0, delta=0\.1, grids \(3,\)"):
        complexity(7, 0, 0.1, 3)


def test_s_grid_points():
    np.testing.assert_allclose(s_grid(4), [0.2, 0.4, 0.6, 0.8], rtol=1e-15)
    assert s_grid(1).tolist() == [0.5]


def test_s_grid_of_the_paper_is_inside_the_open_interval_and_even():
    grid = s_grid(1000)
    assert len(grid) == 1000
    assert 0 < grid[0] == pytest.approx(1 / 1001, rel=1e-15)
    assert grid[-1] == pytest.approx(1000 / 1001, rel=1e-15)
    np.testing.assert_allclose(np.diff(grid), 1 / 1001, rtol=1e-10)


def test_alpha_grid_points():
    np.testing.assert_allclose(alpha_grid(4, 0.001, 1.0), [0.001, 0.01, 0.1, 1.0], rtol=1e-12)


def test_alpha_grid_keeps_its_ends_and_its_ratio():
    grid = alpha_grid(40, 0.002, 0.5)
    assert (len(grid), grid[0], grid[-1]) == (40, 0.002, 0.5)
    np.testing.assert_allclose(grid[1:] / grid[:-1], 250 ** (1 / 39), rtol=1e-12)


def test_alpha_grid_of_one_point_is_the_smallest():
    assert alpha_grid(1, 0.1, 0.1).tolist() == [0.1]


def test_grids_are_float64():
    assert s_grid(3).dtype == alpha_grid(3, 0.1, 0.5).dtype == np.float64
