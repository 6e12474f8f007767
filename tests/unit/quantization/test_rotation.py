"""Random bases: orthogonal for every width, undone up to rounding, the same bits everywhere, and what they are good for."""

import hashlib

import numpy as np
import pytest
import torch

from scalebound.configuration.config import IncoherentQuantizer
from scalebound.quantization import gptq, rotation
from scalebound.quantization.integers import IntegerTensor
from scalebound.quantization.methods import incoherent

WIDTHS = [1, 2, 3, 7, 16, 48, 96, 100, 257, 768]


def matrix(rows, columns, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns))


def basis(width, seed=5, side=rotation.INPUTS):
    """V with rows @ V^T the rotated rows."""
    return rotation.turn(np.eye(width), seed, side).T


@pytest.mark.parametrize("width", WIDTHS)
def test_the_basis_of_every_width_is_orthogonal(width):
    for side in (rotation.OUTPUTS, rotation.INPUTS):
        assert np.allclose(basis(width, side=side) @ basis(width, side=side).T, np.eye(width), atol=1e-13)


@pytest.mark.parametrize("power", range(8))
def test_the_fast_transform_is_sylvesters_matrix(power):
    dense = np.ones((1, 1))
    for _ in range(power):
        dense = np.kron([[1, 1], [1, -1]], dense)
    rows = matrix(3, 2**power)
    assert np.allclose(rotation.hadamard(rows), rows @ dense / np.sqrt(2**power), atol=1e-13)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 5), (16, 48), (100, 96), (64, 64), (7, 257)])
def test_the_inverse_gives_the_matrix_back_up_to_rounding(rows, columns):
    original = matrix(rows, columns).astype(np.float32)
    turned = rotation.rotate(original.astype(np.float64), 9)
    found = rotation.unrotate(turned.astype(np.float32), 9)
    assert found.dtype == np.float32
    assert found.flags["C_CONTIGUOUS"]
    assert np.abs(found - original).max() < 2e-6 * np.abs(original).max()
    # and nothing less than the right seed undoes it
    assert min(rows, columns) < 3 or np.abs(rotation.unrotate(turned.astype(np.float32), 8) - original).max() > 0.1


@pytest.mark.parametrize("width", [5, 32, 100])
def test_the_loss_of_a_layer_is_the_same_in_both_bases(width):
    """tr(D H D^T) of an error D = tr of the rotated error and the rotated moment."""
    error, inputs = matrix(12, width), matrix(200, width, seed=1)
    moment = inputs.T @ inputs
    turned, there = rotation.rotate(error, 3), rotation.rotate_moment(moment, 3)
    assert np.trace(turned @ there @ turned.T) == pytest.approx(np.trace(error @ moment @ error.T), rel=1e-12)
    assert np.allclose(there, there.T, atol=1e-10 * np.abs(there).max())


@pytest.mark.parametrize("width", [48, 64, 100, 768])
def test_every_entry_is_spread_over_half_of_the_width_at_least(width):
    """A block-diagonal transform of width 100 would leave an outlier on 4 entries."""
    largest = np.abs(basis(width)).max()
    assert largest < 5 / np.sqrt(width)
    assert (np.abs(basis(width)) > 1e-12).sum(axis=0).min() >= width / 2


def test_signs_are_balanced_and_differ_by_seed_side_and_step():
    drawn = {key: rotation.signs(*key, 4096) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (2**32 - 1, 1, 1)]}
    for key, values in drawn.items():
        assert set(values) == {-1, 1}
        assert abs(values.sum()) < 5 * 64
        for other, others in drawn.items():
            # independent signs agree as often as not
            assert key == other or abs((values * others).sum()) < 5 * 64


def test_decoded_weights_have_the_same_bits_on_every_machine():
    """Pinned: a change of this digest makes other models of the messages that exist."""
    rng = np.random.Generator(np.random.PCG64(0))
    codes = rng.integers(0, 16, (48, 100), dtype=np.uint8)
    scales = (rng.integers(1, 2**10, (48, 4)) / 2**12).astype(np.float16)
    tensor = IntegerTensor(codes, scales, rng.integers(0, 16, (48, 4), dtype=np.uint8), 4, 25, seed=7)
    assert hashlib.sha256(tensor.dequantize().astype("<f4").tobytes()).hexdigest() == PINNED


PINNED = "22fe9b09628ad2b0e86e145815e744fa8ff5a6a66754cebf60a6639f72d5f4d5"


def with_outliers(rows=64, columns=96):
    """Weights of which one in 500 is 30 times as large as the others."""
    weights = matrix(rows, columns)
    place = np.random.default_rng(1).choice(weights.size, weights.size // 500, replace=False)
    weights.flat[place] *= 30
    return weights


def peak(weights):
    return np.abs(weights).max() / np.sqrt(np.mean(weights**2))


def test_outliers_do_not_stand_out_any_more():
    weights = with_outliers()
    assert peak(weights) > 15
    assert peak(rotation.rotate(weights, 1)) < 6


@pytest.mark.parametrize("bits", [2, 3])
def test_outliers_cost_less_in_a_random_basis(bits):
    weights, inputs = torch.from_numpy(with_outliers()).float(), matrix(400, 96, seed=2) @ matrix(96, 96, seed=3)
    moment = torch.from_numpy(inputs.T @ inputs)

    def loss(tensor):
        error = weights.double() - torch.from_numpy(tensor.dequantize()).double()
        return float(torch.trace(error @ moment @ error.T))

    plain = loss(gptq.quantize(weights, moment, bits).tensor)
    for seed in (1, 2, 3):
        assert loss(incoherent(weights, moment, False, IncoherentQuantizer(method="incoherent", bits=bits, seed=seed)).tensor) < 0.8 * plain
