"""Spectra of input second moments: known ratios, dead inputs, what rounding makes negative, and what is no second moment."""

import numpy as np
import pytest
import torch
from torch import nn

from scalebound.curvature import spectrum
from scalebound.curvature.input_moments import eigenvalues, input_spectra
from scalebound.curvature.layer_names import kind_and_block
from scalebound.errors import InputError


def test_a_flat_spectrum_has_ratio_one_and_full_rank():
    values = np.full(8, 3.0)
    assert spectrum.rounding_ratio(values) == pytest.approx(1)
    assert spectrum.effective_rank(values) == pytest.approx(8)
    assert spectrum.largest_share(values) == pytest.approx(1 / 8)
    np.testing.assert_allclose(spectrum.relative_curve(values, [0, 0.5, 1]), 1)


def test_rank_one_has_ratio_one_over_the_width():
    values = np.array([5.0, *[0.0] * 7])
    assert spectrum.rounding_ratio(values) == pytest.approx(1 / 8)
    assert spectrum.effective_rank(values) == pytest.approx(1)
    assert spectrum.largest_share(values) == pytest.approx(1)
    assert spectrum.null_directions(values) == 7


def test_the_ratio_is_that_of_the_square_root_matrix_by_hand():
    # sqrt: 3 + 2 + 1 = 6; 36 / (3 * 14)
    assert spectrum.rounding_ratio(np.array([9.0, 4.0, 1.0])) == pytest.approx(36 / 42)


def test_a_power_law_has_the_ratio_of_its_integral():
    # eigenvalues k^-2 of a large width: (log n + gamma)^2 / (n pi^2 / 6)
    size = 100_000
    values = np.arange(1, size + 1) ** -2.0
    expected = (np.log(size) + np.euler_gamma) ** 2 / (size * np.pi**2 / 6)
    assert spectrum.rounding_ratio(values) == pytest.approx(expected, rel=1e-4)


def test_rounding_below_zero_is_clipped_and_more_is_refused():
    np.testing.assert_array_equal(spectrum.clipped([2.0, -1e-8, 1.0], "x"), [2, 1, 0])
    with pytest.raises(InputError, match="no second moment"):
        spectrum.clipped([2.0, -1e-3], "x")
    with pytest.raises(InputError, match="no second moment"):
        spectrum.clipped([-1.0, -2.0], "x")


@pytest.mark.parametrize("values", [[1.0, np.nan], [np.inf, 1.0], []])
def test_what_is_not_finite_is_refused(values):
    with pytest.raises(InputError, match="finite"):
        spectrum.clipped(values, "x")


def test_inputs_that_are_all_zero_have_no_ratio():
    values = spectrum.clipped(np.zeros(4), "x")
    for function in (spectrum.rounding_ratio, spectrum.effective_rank, spectrum.largest_share):
        assert np.isnan(function(values))
    assert spectrum.null_directions(values) == 4
    assert np.isnan(spectrum.relative_curve(values, [0, 1])).all()


def test_eigenvalues_are_those_of_the_matrix_descending():
    basis = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    found = eigenvalues(basis @ torch.diag(torch.tensor([4.0, 3.0, 2.0, 1.0, 0.5], dtype=torch.float64)) @ basis.T, "x")
    np.testing.assert_allclose(found, [4, 3, 2, 1, 0.5], atol=1e-12)
    with pytest.raises(InputError, match="not finite"):
        eigenvalues(torch.full((2, 2), torch.nan), "x")


class Embedded(nn.Module):
    """Inputs of the one linear layer are rows of the embedding: their second moment can be written down."""

    def __init__(self, rows):
        super().__init__()
        self.embed, self.head = nn.Embedding.from_pretrained(torch.tensor(rows)), nn.Linear(3, 4)
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self.config = type("C", (), {"hidden_size": 3, "get_text_config": lambda self: self})()

    def forward(self, input_ids):
        return self.head(self.embed(input_ids))

    def get_output_embeddings(self):
        return self.head


def test_spectra_are_those_of_inputs_with_a_known_moment_and_a_dead_input():
    model = Embedded([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    # three quarters of the tokens are 0, one quarter is 1; the third input is never used
    spectra = input_spectra(model, np.array([[0, 0, 0, 1], [0, 1, 0, 0]]))
    assert list(spectra) == ["head"]
    np.testing.assert_allclose(spectra["head"], [3, 0.25, 0], atol=1e-12)
    assert spectrum.null_directions(spectrum.clipped(spectra["head"], "x")) == 1


def test_weights_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match=r"head.*not finite"):
        input_spectra(Embedded([[float("nan"), 0.0, 0.0], [0.0, 1.0, 0.0]]), np.array([[0, 1]]))


@pytest.mark.parametrize(
    ("name", "kind", "block"),
    [
        ("gpt_neox.layers.11.attention.query_key_value", "attention.query_key_value", 11),
        ("transformer.h.0.mlp.c_proj", "mlp.c_proj", 0),
        ("model.layers.2.experts.5.up", "experts.5.up", 2),
        ("embed_out", "embed_out", None),
        ("model.lm_head", "lm_head", None),
    ],
)
def test_layers_of_one_kind_share_a_name(name, kind, block):
    assert kind_and_block(name) == (kind, block)
