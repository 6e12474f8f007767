"""Products that a forward pass makes without a linear layer: which part of which parameter, and with which inputs."""

import numpy as np
import pytest
import torch

from scalebound.quantization.products import Part, Products

GENERATOR = torch.Generator().manual_seed(0)
EXPERTS = torch.randn(3, 8, 4, generator=GENERATOR)  # [experts, outputs, inputs], or of transposed experts [experts, inputs, outputs]
ROWS = [torch.randn(n, 4, generator=GENERATOR) for n in (6, 2, 7)]
WIDE_ROWS = [torch.randn(n, 8, generator=GENERATOR) for n in (6, 2, 7)]
ENDS = torch.tensor([6, 8, 15], dtype=torch.int32)


def one_by_one(weight):
    for expert, rows in enumerate(ROWS):
        torch.nn.functional.linear(rows, weight[torch.tensor(expert)])


def one_by_one_with_bias(weight):
    for expert, rows in enumerate(ROWS):
        torch.nn.functional.linear(rows[None], weight[expert], torch.zeros(8))


def as_a_batch(weight):
    torch.stack([torch.nn.functional.pad(rows, (0, 0, 0, 7 - len(rows))) for rows in ROWS]) @ weight.transpose(1, 2)


def grouped(weight):
    torch.nn.functional.grouped_mm(torch.cat(ROWS), weight.transpose(1, 2), offs=ENDS)


def weight_on_the_left(weight):
    for expert, rows in enumerate(ROWS):
        weight[expert] @ rows.T


def transposed_one_by_one(weight):
    for expert, rows in enumerate(WIDE_ROWS):
        rows @ weight[expert]


def transposed_with_bias(weight):
    batch = torch.stack([torch.nn.functional.pad(rows, (0, 0, 0, 7 - len(rows))) for rows in WIDE_ROWS])
    torch.baddbmm(torch.zeros(3, 1, 4), batch, weight)


def transposed_grouped(weight):
    torch.nn.functional.grouped_mm(torch.cat(WIDE_ROWS), weight, offs=ENDS)


WAYS = {
    **dict.fromkeys((one_by_one, one_by_one_with_bias, as_a_batch, grouped, weight_on_the_left), (ROWS, False)),
    **dict.fromkeys((transposed_one_by_one, transposed_with_bias, transposed_grouped), (WIDE_ROWS, True)),
}


@pytest.mark.parametrize("way", WAYS)
@torch.no_grad()
def test_each_expert_s_matrix_and_the_moment_of_its_own_inputs_are_found(way):
    rows, turned = WAYS[way]
    with Products({"experts": EXPERTS}) as products:
        way(EXPERTS)
    parts = sorted(products.moments["experts"].items(), key=lambda item: item[0].offset)
    assert len(parts) == 3
    for expert, (part, moment) in enumerate(parts):
        assert torch.equal(part.of(EXPERTS), EXPERTS[expert].T if turned else EXPERTS[expert])
        assert moment.dtype == torch.float64
        torch.testing.assert_close(moment, (rows[expert].T @ rows[expert]).double(), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_inputs_of_several_passes_add_up_and_experts_without_tokens_are_not_listed():
    with Products({"experts": EXPERTS, "router": (router := torch.randn(3, 4))}) as products:
        for rows in (ROWS[0], ROWS[1], ROWS[0][:0]):
            rows @ EXPERTS[1].T
            rows @ router.T
        torch.randn(4, 4) @ torch.randn(4, 4)
        ROWS[2][:0] @ EXPERTS[2].T
    both = torch.cat(ROWS[:2])
    assert list(products.moments["experts"]) == [Part(32, (8, 4), (4, 1))]
    for name in ("experts", "router"):
        (moment,) = products.moments[name].values()
        torch.testing.assert_close(moment, (both.T @ both).double(), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_copies_and_tensors_that_are_not_contiguous_are_not_taken_for_parameters():
    with Products({"turned": EXPERTS.transpose(1, 2), "empty": torch.zeros(0, 4)}) as products:
        ROWS[0] @ EXPERTS[0].T
    assert not products.moments
    with Products({"experts": EXPERTS}) as products:
        ROWS[0] @ EXPERTS[0].clone().T
    assert not products.moments


@torch.no_grad()
def test_parameters_that_share_one_storage_are_told_apart():
    whole = torch.randn(40, generator=GENERATOR)
    parameters = {"first": whole[:20].view(5, 4), "second": whole[20:].view(5, 4)}
    with Products(parameters) as products:
        ROWS[0] @ parameters["second"].T
    assert list(products.moments) == ["second"]
    (part,) = products.moments["second"]
    assert np.array_equal(part.of(parameters["second"]).numpy(), parameters["second"].numpy())
