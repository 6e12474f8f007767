"""Grids and round-to-nearest: every weight at its nearest grid point, on scales that float16 holds exactly."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scalebound.errors import InputError
from scalebound.quantization import grid, rtn
from scalebound.quantization.integers import check

BITS = range(2, 9)


def gaussian(rows, columns, seed=0):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def difficult():
    """Rows by name, each a case that grids get wrong easily."""
    ordinary = gaussian(1, 24, 3)[0]
    outlier = ordinary.clone()
    outlier[5] = 1e4
    rows = {
        "ordinary": ordinary,
        "zero": torch.zeros(24),
        "constant": torch.full((24,), 0.37),
        "negative constant": torch.full((24,), -0.37),
        "positive": ordinary.abs() + 1,
        "negative": -ordinary.abs() - 1,
        "outlier": outlier,
        "two outliers": torch.cat([outlier[:-1], torch.tensor([-3e3])]),
        "tiny": ordinary * 1e-6,
        "below float16": ordinary * 1e-12,
        "one entry": torch.cat([torch.tensor([2.5]), torch.zeros(23)]),
    }
    return list(rows), torch.stack(list(rows.values()))


def brute_force(weights, scales, zeros, bits):
    """Distance to the nearest of all grid points, in float64."""
    points = (torch.arange(2**bits)[:, None, None] - zeros.double()) * scales.double()
    return (points - weights.double()).abs().amin(0)


@pytest.mark.parametrize("bits", BITS)
def test_every_weight_goes_to_its_nearest_grid_point(bits):
    names, weights = difficult()
    scales, zeros = grid.fit(weights, bits, 24)
    rebuilt = torch.from_numpy(rtn.quantize(weights, bits, 0).dequantize()).double()
    excess = (rebuilt - weights.double()).abs() - brute_force(weights, scales, zeros, bits)
    # float32 rounds w / s and (code - zero) * s: a tie may go either way, which changes the distance by no more than this
    assert (excess <= 1e-6 * weights.double().abs() + 1e-6 * scales.double()).all(), names


@given(st.integers(2, 8), st.integers(0, 10**6), st.floats(1e-3, 1e3), st.floats(-5, 5))
@settings(deadline=None)
def test_inside_the_range_the_error_is_at_most_half_a_step(bits, seed, spread, shift):
    weights = (gaussian(3, 12, seed) + shift) * spread
    scales, zeros = grid.fit(weights, bits, 12)
    low, high = -zeros * scales, (2**bits - 1 - zeros) * scales
    inside = (weights >= low) & (weights <= high)
    assert inside.any()
    error = (torch.from_numpy(rtn.quantize(weights, bits, 0).dequantize()) - weights).abs()
    assert (error <= 0.5 * scales * (1 + 1e-4))[inside].all()


@pytest.mark.parametrize("group", [0, 7])
def test_every_further_bit_lowers_the_error(group):
    weights = gaussian(16, 40)
    errors = [float((torch.from_numpy(rtn.quantize(weights, bits, group).dequantize()) - weights).square().sum()) for bits in BITS]
    # one bit halves the step; the clipping search makes it a little less than a quarter of the square
    assert all(later < 0.4 * earlier for earlier, later in itertools.pairwise(errors))


@pytest.mark.parametrize("bits", BITS)
def test_scales_are_exact_in_float16_and_zero_points_are_codes(bits):
    names, weights = difficult()
    scales, zeros = grid.fit(weights, bits, 5)
    assert scales.dtype == zeros.dtype == torch.float32, names
    assert torch.equal(scales.half().float(), scales)
    assert (scales > 0).all()
    assert torch.equal(zeros.round(), zeros)
    assert ((zeros >= 0) & (zeros <= 2**bits - 1)).all()
    tensor = rtn.quantize(weights, bits, 5)
    check(tensor, "difficult rows")
    assert np.array_equal(tensor.scales.astype(np.float32), scales.numpy())


@pytest.mark.parametrize("bits", BITS)
def test_zeros_stay_exactly_zero(bits):
    weights = torch.cat([torch.zeros(1, 9), torch.tensor([[1.0, 0, 0, -2, 0, 0.3, 0, 0, 0]])])
    rebuilt = rtn.quantize(weights, bits, 0).dequantize()
    assert (rebuilt[weights.numpy() == 0] == 0).all()


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("value", [0.37, -0.37, 1.0, 1234.5])
def test_a_constant_row_keeps_its_value_up_to_the_rounding_of_the_scale(bits, value):
    rebuilt = rtn.quantize(torch.full((1, 6), value), bits, 0).dequantize()
    assert np.abs(rebuilt - value).max() <= abs(value) * 2**-11  # half a unit in the last place of float16


@pytest.mark.parametrize("bits", BITS)
def test_a_single_column_has_one_scale_per_row_and_keeps_its_values(bits):
    weights = torch.tensor([[0.5], [-3.0], [0.0], [7e-4]])
    tensor = rtn.quantize(weights, bits, 0)
    assert tensor.scales.shape == (4, 1)
    # the scale is float16: 11 significant bits, fewer below its smallest normal number, where its spacing is 2**-24
    np.testing.assert_allclose(tensor.dequantize(), weights.numpy(), rtol=2**-11, atol=(2**bits - 1) * 2**-25)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_the_range_is_shrunk_where_that_lowers_the_error(bits):
    weights = gaussian(32, 200)
    low, high = weights.amin(1).clamp(max=0), weights.amax(1).clamp(min=0)
    full = grid._grid(low, high, bits)

    def error(scales, zeros):
        scales, zeros = scales.reshape(-1, 1), zeros.reshape(-1, 1)
        return ((grid.round_to(weights, scales, zeros, bits) - zeros) * scales - weights).abs().pow(grid.ERROR_NORM).sum(1)

    found = error(*grid.fit(weights, bits, 200))
    assert (found <= error(*full)).all()
    assert found.sum() < 0.9 * error(*full).sum()


def test_an_outlier_in_one_row_leaves_the_other_rows_alone():
    weights = gaussian(3, 30)
    spoiled = weights.clone()
    spoiled[1, 4] = 1e4
    plain, other = rtn.quantize(weights, 3, 0).dequantize(), rtn.quantize(spoiled, 3, 0).dequantize()
    assert np.array_equal(plain[[0, 2]], other[[0, 2]])
    assert np.isfinite(other).all()


@pytest.mark.parametrize(("columns", "group"), [(12, 4), (13, 4), (5, 64), (6, 1)])
def test_each_group_is_quantized_as_if_it_were_alone(columns, group):
    weights = gaussian(5, columns)
    tensor = rtn.quantize(weights, 3, group)
    parts = [rtn.quantize(part, 3, 0) for part in weights.split(group, dim=1)]
    assert tensor.group == min(group, columns)
    assert np.array_equal(tensor.scales, np.concatenate([part.scales for part in parts], axis=1))
    assert np.array_equal(tensor.zeros, np.concatenate([part.zeros for part in parts], axis=1))
    assert np.array_equal(tensor.codes, np.concatenate([part.codes for part in parts], axis=1))
    assert np.array_equal(tensor.dequantize(), np.concatenate([part.dequantize() for part in parts], axis=1))


def test_expand_repeats_each_group_and_cuts_the_last():
    assert grid.expand(torch.tensor([[1.0, 2.0, 3.0]]), 2, 5).tolist() == [[1, 1, 2, 2, 3]]


def test_bfloat16_weights_are_quantized_as_their_float32_values():
    weights = gaussian(4, 9).bfloat16()
    assert np.array_equal(rtn.quantize(weights, 4, 0).dequantize(), rtn.quantize(weights.float(), 4, 0).dequantize())


def test_the_given_weights_are_not_changed():
    weights = gaussian(4, 9)
    before = weights.clone()
    rtn.quantize(weights, 2, 3)
    assert torch.equal(weights, before)


@pytest.mark.parametrize("value", [1e7, 1e30, torch.inf, torch.nan])
def test_weights_that_no_float16_scale_can_represent_are_refused(value):
    weights = gaussian(2, 6)
    weights[1, 2] = value
    with pytest.raises(InputError):
        check(rtn.quantize(weights, 2, 0), "layer")


def by_definition(weights, bits):
    """(scales, zeros) of one group: the shrink of the least error, of equal ones the first, computed for all rows and shrinks in full."""
    low, high = weights.amin(1).clamp(max=0), weights.amax(1).clamp(min=0)
    tried = [grid._grid(low * shrink, high * shrink, bits) for shrink in grid.SHRINKS]
    errors = [((grid.round_to(weights, s[:, None], z[:, None], bits) - z[:, None]) * s[:, None] - weights).abs().pow(2.4).sum(1) for s, z in tried]
    first = torch.stack(errors).argmin(0)
    return tuple(torch.stack(ends).gather(0, first[None])[0] for ends in zip(*tried))


@pytest.mark.parametrize("shape", [(1, 3000), (3, 7), (65, 100), (200, 103), (129, 1)])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("bits", [2, 4])
def test_the_grids_of_parts_are_bit_for_bit_those_of_the_whole_matrix(shape, turned, bits, monkeypatch):
    # as Conv1D weights lie, or in rows; with outliers, which bring the least error to small shrinks
    weights = gaussian(*shape, seed=bits) ** 3
    weights = weights.T.contiguous().T if turned else weights
    wanted, codes = by_definition(weights, bits), rtn.quantize(weights, bits, 0).codes
    monkeypatch.setitem(grid.ENTRIES, "cpu", 64 * shape[1])
    for found, expected in zip(grid.fit(weights, bits, shape[1]), wanted):
        assert torch.equal(found[:, 0], expected)
    assert np.array_equal(rtn.quantize(weights, bits, 0).codes, codes)
