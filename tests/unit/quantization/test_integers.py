"""Integer tensors: what codes stand for, how parameters of any shape become matrices, and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scalebound.errors import InputError
from scalebound.quantization import integers
from scalebound.quantization.integers import IntegerTensor


def random_tensor(rows, columns, bits, group, seed=0):
    rng = np.random.default_rng(seed)
    groups = -(-columns // group)
    codes, zeros = (rng.integers(0, 2**bits, shape, dtype=np.uint8) for shape in ((rows, columns), (rows, groups)))
    return IntegerTensor(codes, rng.uniform(1e-7, 3, (rows, groups)).astype(np.float16), zeros, bits, group)


@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 8), st.integers(1, 9), st.integers(0, 999))
@settings(deadline=None)
def test_weights_are_code_minus_zero_times_scale_in_float32(rows, columns, bits, group, seed):
    tensor = random_tensor(rows, columns, bits, min(group, columns), seed)
    weights = tensor.dequantize()
    assert weights.dtype == np.float32
    for i in range(rows):
        for j in range(columns):
            scale, zero = np.float32(tensor.scales[i, j // tensor.group]), int(tensor.zeros[i, j // tensor.group])
            assert weights[i, j] == np.float32(int(tensor.codes[i, j]) - zero) * scale


@pytest.mark.parametrize(("columns", "group", "width"), [(10, 0, 10), (10, 3, 3), (10, 10, 10), (10, 64, 10), (1, 0, 1)])
def test_group_width(columns, group, width):
    assert integers.group_width(columns, group) == width


@pytest.mark.parametrize(
    ("shape", "use", "matrix"),
    [
        ((5, 3), "linear", (5, 3)),
        ((5, 3), "tied", (5, 3)),
        ((5, 3), "conv1d", (3, 5)),
        ((7,), "vector", (1, 7)),
        ((), "vector", (1, 1)),
        ((4, 2, 3), "other", (4, 6)),
        ((4, 1, 2, 2), "other", (4, 4)),
    ],
)
def test_a_parameter_is_viewed_as_a_matrix_and_comes_back_in_its_own_shape(shape, use, matrix):
    weight = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    assert integers.matrix_view(list(shape), use) == matrix
    for library in (weight, torch.from_numpy(weight)):
        found = integers.to_matrix(library, use)
        assert tuple(found.shape) == matrix
        assert np.array_equal(np.asarray(integers.from_matrix(np.asarray(found), list(shape), use)), weight)


def test_conv1d_rows_are_outputs():
    weight = np.array([[1, 2, 3], [4, 5, 6]])  # two inputs, three outputs
    assert integers.to_matrix(weight, "conv1d").tolist() == [[1, 4], [2, 5], [3, 6]]


def altered(tensor, **changes):
    return IntegerTensor(**{**vars(tensor), **changes})


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"scales": np.ones((2, 2), np.float16)}, "scales"),
        ({"zeros": np.zeros((3, 3), np.uint8)}, "zeros"),
        ({"group": 5}, "expected"),
        ({"scales": np.full((2, 3), np.nan, np.float16)}, "NaN or infinite"),
        ({"scales": np.full((2, 3), np.inf, np.float16)}, "NaN or infinite"),
        ({"codes": np.full((2, 6), 8, np.uint8)}, "more than 3 bits"),
        ({"zeros": np.full((2, 3), 8, np.uint8)}, "more than 3 bits"),
    ],
)
def test_inconsistent_integers_are_refused_by_name(changes, match):
    tensor = random_tensor(2, 6, 3, 2)
    integers.check(tensor, "layer")
    with pytest.raises(InputError, match=match) as error:
        integers.check(altered(tensor, **changes), "layer")
    assert error.value.where == "layer"
