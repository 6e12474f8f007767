"""GPTQ against a slow implementation of what it approximates, and its behaviour on difficult Hessians."""

import numpy as np
import pytest
import torch

from scalebound.errors import InputError
from scalebound.quantization import gptq, grid, rtn
from scalebound.quantization.integers import check, group_width
from scalebound.quantization.products import Part


def problem(rows, columns, samples=200, seed=0):
    """Weights and second moment of strongly correlated inputs, both float64."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    mixing = torch.randn(columns, columns, generator=generator, dtype=torch.float64) + 2
    inputs = torch.randn(samples, columns, generator=generator, dtype=torch.float64) @ mixing
    return weights, inputs.T @ inputs


def optimal_brain_surgeon(weights, hessian, bits, group, damping):
    """Codes by the definition: round one column, then move all columns still open by the inverse of *their* Hessian."""
    rows, columns = weights.shape
    width = group_width(columns, group)
    scales, zeros = grid.fit(weights, bits, width)
    order = sorted(range(columns), key=lambda k: -float(hessian[k, k]))
    damped = hessian + damping * hessian.diagonal().mean() * torch.eye(columns, dtype=torch.float64)
    weights, codes = weights.clone(), np.zeros((rows, columns), dtype=np.uint8)
    for place, column in enumerate(order):
        rest = order[place:]
        inverse = torch.linalg.inv(damped[rest][:, rest])
        scale, zero = scales[:, column // width].double(), zeros[:, column // width].double()
        code = (torch.round(weights[:, column] / scale) + zero).clamp(0, 2**bits - 1)
        error = weights[:, column] - (code - zero) * scale
        weights[:, rest] -= torch.outer(error / inverse[0, 0], inverse[0])
        codes[:, column] = code.numpy()
    return codes


def output_error(weights, tensor, hessian):
    """tr((W - Q) H (W - Q)^T)."""
    difference = weights - torch.from_numpy(tensor.dequantize()).double()
    return float(torch.trace(difference @ hessian @ difference.T))


@pytest.mark.parametrize("block", [1, 3, 128])
@pytest.mark.parametrize("group", [0, 5])
@pytest.mark.parametrize(("rows", "columns", "bits"), [(6, 17, 2), (3, 40, 3), (9, 24, 4), (1, 12, 3), (4, 1, 2), (5, 2, 8)])
def test_codes_equal_those_of_the_slow_reference(rows, columns, bits, group, block):
    weights, hessian = problem(rows, columns)
    result = gptq.quantize(weights, hessian, bits, group, 0.01, block)
    expected = optimal_brain_surgeon(weights, hessian, bits, group, 0.01)
    assert np.array_equal(result.tensor.codes, expected)
    assert (result.damping, result.escalated) == (0.01, False)
    # the comparison means something only where the errors are really spread, as they are in all but the smallest shapes
    assert min(rows, columns) < 3 or not np.array_equal(expected, rtn.quantize(weights, bits, group).codes)


def test_codes_equal_those_of_the_slow_reference_across_the_default_block():
    weights, hessian = problem(4, gptq.BLOCK + 9, samples=400)
    for group in (0, 32):
        assert np.array_equal(gptq.quantize(weights, hessian, 3, group).tensor.codes, optimal_brain_surgeon(weights, hessian, 3, group, 0.01))


def test_a_few_samples_and_large_damping_agree_with_the_slow_reference_too():
    weights, hessian = problem(5, 30, samples=8)
    assert np.array_equal(gptq.quantize(weights, hessian, 3, 0, 0.3).tensor.codes, optimal_brain_surgeon(weights, hessian, 3, 0, 0.3))


def test_float32_weights_give_nearly_the_output_error_of_float64():
    weights, hessian = problem(16, 48)
    single, double = (gptq.quantize(w, hessian, 3).tensor for w in (weights.float(), weights))
    assert output_error(weights, single, hessian) == pytest.approx(output_error(weights, double, hessian), rel=0.05)


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("group", [0, 16])
def test_output_error_is_below_that_of_rounding_to_nearest_on_the_same_grid(bits, group):
    weights, hessian = problem(16, 48)
    by_gptq, by_rtn = gptq.quantize(weights, hessian, bits, group).tensor, rtn.quantize(weights, bits, group)
    assert np.array_equal(by_gptq.scales, by_rtn.scales)
    assert np.array_equal(by_gptq.zeros, by_rtn.zeros)
    assert output_error(weights, by_gptq, hessian) < 0.5 * output_error(weights, by_rtn, hessian)


@pytest.mark.parametrize("bits", [2, 4])
def test_uncorrelated_inputs_give_the_codes_of_rounding_to_nearest(bits):
    weights, _ = problem(6, 20)
    hessian = torch.diag(torch.linspace(1, 3, 20, dtype=torch.float64))
    assert np.array_equal(gptq.quantize(weights, hessian, bits).tensor.codes, rtn.quantize(weights, bits, 0).codes)


@pytest.mark.parametrize("group", [0, 5])
def test_columns_without_input_are_rounded_to_nearest_and_the_others_are_as_without_them(group):
    weights, hessian = problem(6, 20)
    # groups of 5 columns: the second group is silent as a whole, so that grids of the others do not see it
    silent, heard = list(range(5, 10)), [k for k in range(20) if not 5 <= k < 10]
    hessian[silent, :] = 0
    hessian[:, silent] = 0
    found = gptq.quantize(weights, hessian, 3, group, 0.3).tensor
    check(found, "layer")
    nearest = rtn.quantize(weights, 3, group)
    assert np.array_equal(found.codes[:, silent], nearest.codes[:, silent])
    assert not (found.dequantize()[:, silent] == 0).all()
    if group:
        # damping is a share of the mean over the columns that heard something: with the others in it, it would be a quarter less
        alone = gptq.quantize(weights[:, heard], hessian[heard][:, heard], 3, group, 0.3).tensor
        assert np.array_equal(found.codes[:, heard], alone.codes)
        less = gptq.quantize(weights[:, heard], hessian[heard][:, heard], 3, group, 0.3 * len(heard) / 20).tensor
        assert not np.array_equal(found.codes[:, heard], less.codes)


def test_a_layer_that_only_ever_saw_zeros_is_rounded_to_nearest():
    weights, hessian = problem(3, 7)
    result = gptq.quantize(weights, torch.zeros_like(hessian), 2)
    assert np.array_equal(result.tensor.codes, rtn.quantize(weights, 2, 0).codes)
    assert not result.escalated


def experts(count=4, outputs=6, inputs=10):
    """A parameter [count, outputs, inputs], the part of each expert in it, and a second moment for each."""
    weight = torch.stack([problem(outputs, inputs, seed=k)[0] for k in range(count)]).float()
    parts = [Part(k * outputs * inputs, (outputs, inputs), (inputs, 1)) for k in range(count)]
    return weight, {part: problem(outputs, inputs, seed=k)[1] for k, part in enumerate(parts)}


@pytest.mark.parametrize("group", [0, 4])
def test_each_part_of_a_parameter_is_rounded_against_its_own_moment(group):
    weight, moments = experts()
    found = gptq.quantize_parts(weight, "fused", moments, 3, group)
    assert (found.share, found.tensor.scales.shape) == (1.0, (24, 1 if group == 0 else 3))
    for k, (part, moment) in enumerate(moments.items()):
        alone = gptq.quantize(weight[k], moment, 3, group).tensor
        assert np.array_equal(found.tensor.codes[6 * k : 6 * k + 6], alone.codes), part
        assert np.array_equal(found.tensor.scales[6 * k : 6 * k + 6], alone.scales)


def test_parts_that_lie_transposed_lose_less_than_rounding_to_nearest_on_the_same_grids():
    weight, moments = experts()
    turned = weight.transpose(1, 2).contiguous()
    moments = {Part(k * 60, (6, 10), (1, 6)): moment for k, moment in enumerate(moments.values())}
    found = gptq.quantize_parts(turned, "fused", moments, 3)
    nearest = rtn.quantize(turned.reshape(40, 6), 3, 0)
    assert np.array_equal(found.tensor.scales, nearest.scales)
    for part, moment in moments.items():
        lost = []
        for tensor in (found.tensor, nearest):
            difference = part.of(turned - torch.from_numpy(tensor.dequantize()).reshape(4, 10, 6)).double()
            lost.append(float(torch.trace(difference @ moment @ difference.T)))
        assert lost[0] < 0.7 * lost[1]


def test_parts_that_no_input_reached_or_that_overlap_are_rounded_to_nearest_or_once():
    weight, moments = experts()
    (first, moment), (second, _), *_ = moments.items()
    overlapping = Part(30, (6, 10), (10, 1))  # half of each of the first two
    found = gptq.quantize_parts(weight, "fused", {first: moment, second: torch.zeros_like(moment), overlapping: moment}, 3)
    assert found.share == 0.25
    assert np.array_equal(found.tensor.codes[:6], gptq.quantize(weight[0], moment, 3).tensor.codes)
    assert np.array_equal(found.tensor.codes[6:], rtn.quantize(weight.reshape(24, 10), 3, 0).codes[6:])


def test_weights_and_hessian_are_not_changed():
    weights, hessian = problem(4, 9)
    hessian[2], hessian[:, 2] = 0, 0
    for w in (weights, weights.float()):
        before, moment = w.clone(), hessian.clone()
        gptq.quantize(w, moment, 3)
        assert torch.equal(w, before)
        assert torch.equal(moment, hessian)


def test_the_result_does_not_depend_on_the_scale_of_the_hessian():
    weights, hessian = problem(5, 16)
    # a power of two: exact in floating point
    assert np.array_equal(gptq.quantize(weights, hessian, 3).tensor.codes, gptq.quantize(weights, hessian * 2**20, 3).tensor.codes)


@pytest.mark.parametrize("damping", [1e-3, 0.01, 1.0])
def test_the_factor_is_the_triangular_root_of_the_inverse_of_the_damped_hessian(damping):
    _, hessian = problem(1, 25)
    factor, used = gptq.inverse_factor(hessian, damping)
    assert used == damping
    assert torch.equal(factor, factor.triu())
    damped = hessian + damping * hessian.diagonal().mean() * torch.eye(25, dtype=torch.float64)
    torch.testing.assert_close(factor.T @ factor, torch.linalg.inv(damped), rtol=1e-8, atol=0)


def test_damping_escalates_by_tens_until_a_rank_one_hessian_can_be_factored():
    # 1 + 1e-17 and 1 + 1e-16 are 1 in float64, so that the second pivot is exactly zero
    hessian, weights = torch.ones(5, 5, dtype=torch.float64), problem(3, 5)[0]
    result = gptq.quantize(weights, hessian, 4, damping=1e-17)
    assert result.escalated
    assert 1e-15 / 2 < result.damping < 2e-13
    assert result.damping in [pytest.approx(1e-17 * 10**k) for k in range(gptq.DAMPING_ATTEMPTS)]
    assert np.isfinite(result.tensor.dequantize()).all()
    _, failed = torch.linalg.cholesky_ex(hessian + result.damping / 10 * torch.eye(5, dtype=torch.float64))
    assert failed or result.damping > 5e-15  # the step before fails, if not here then at the inverse


def test_enough_damping_is_used_as_given_also_on_a_rank_one_hessian():
    result = gptq.quantize(problem(3, 5)[0], torch.ones(5, 5, dtype=torch.float64), 4, damping=0.01)
    assert (result.damping, result.escalated) == (0.01, False)


def test_a_hessian_that_no_damping_mends_is_refused():
    indefinite = torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=torch.float64)
    with pytest.raises(InputError, match="not positive definite even at damping"):
        gptq.quantize(torch.ones(1, 2), indefinite, 4, damping=1e-9)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("place", [(0, 0), (1, 2)])
def test_a_hessian_that_is_not_finite_is_refused(value, place):
    weights, hessian = problem(3, 4)
    hessian[place] = hessian[place[::-1]] = value
    with pytest.raises(InputError, match="not finite"):
        gptq.quantize(weights, hessian, 4)


@pytest.mark.parametrize("value", [1e30, torch.nan])
def test_weights_that_no_float16_scale_can_represent_are_refused(value):
    weights, hessian = problem(3, 4)
    weights[1, 2] = value
    with pytest.raises(InputError):
        check(gptq.quantize(weights, hessian, 4).tensor, "layer")


@pytest.mark.parametrize("group", [0, 5])
def test_rows_that_are_rounded_in_parts_have_the_codes_of_the_whole_matrix(group, monkeypatch):
    weights, hessian = problem(23, 12)
    whole = gptq.quantize(weights, hessian, 3, group)
    monkeypatch.setattr(gptq, "ENTRIES", 5 * 12)
    assert np.array_equal(gptq.quantize(weights, hessian, 3, group).tensor.codes, whole.tensor.codes)
