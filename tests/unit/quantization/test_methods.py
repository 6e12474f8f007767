"""The registry of methods, and a quantizer through the commands that the workflow calls."""

from typing import get_args

import numpy as np
import pytest
import torch

from scalebound.configuration.config import AnyQuantizer, GridQuantizer, IncoherentQuantizer, Quantizer
from scalebound.quantization import gptq, rotation
from scalebound.quantization.methods import METHODS


def names_of(union):
    models = get_args(get_args(union)[0])
    return [name for model in models for name in get_args(model.model_fields["method"].annotation)]


def test_the_configuration_knows_every_method_and_no_other():
    assert sorted(names_of(GridQuantizer)) == sorted(METHODS)
    assert set(names_of(AnyQuantizer)) == {*METHODS, "coded"}


def settings(method, bits=3):
    return IncoherentQuantizer(method=method, bits=bits, seed=4) if method == "incoherent" else Quantizer(method=method, bits=bits)


def problem(rows=10, columns=24):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(100, columns, generator=generator, dtype=torch.float64)
    return torch.randn(rows, columns, generator=generator), inputs.T @ inputs


@pytest.mark.parametrize("is_head", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_rounds_a_matrix_close_to_itself_and_leaves_its_inputs_alone(name, is_head):
    matrix, moment = problem()
    before = matrix.clone(), moment.clone()
    rounded = METHODS[name].round(matrix, moment if METHODS[name].calibrated else None, is_head, settings(name, bits=8))
    assert rounded.tensor.codes.shape == matrix.shape
    assert np.abs(rounded.tensor.dequantize() - matrix.numpy()).max() < 0.2
    assert torch.equal(matrix, before[0])
    assert torch.equal(moment, before[1])


def test_incoherent_rounding_is_gptq_in_the_random_basis():
    matrix, moment = problem()
    found = METHODS["incoherent"].round(matrix, moment, False, settings("incoherent"))
    turned = torch.from_numpy(rotation.rotate(matrix.double().numpy(), 4)).float()
    there = torch.from_numpy(rotation.rotate_moment(moment.numpy(), 4))
    assert np.array_equal(found.tensor.codes, gptq.quantize(turned, there, 3).tensor.codes)
    assert (found.method, found.tensor.seed) == ("incoherent", 4)


def test_the_output_head_keeps_its_basis():
    matrix, moment = problem()
    found = METHODS["incoherent"].round(matrix, moment, True, settings("incoherent"))
    assert np.array_equal(found.tensor.codes, gptq.quantize(matrix, moment, 3).tensor.codes)
    assert (found.method, found.tensor.seed) == ("gptq", None)
