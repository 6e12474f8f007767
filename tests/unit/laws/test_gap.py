"""The gap that follows from a code length, its exponent, and published models."""

import numpy as np
import pytest

from scalebound.bounds.decomposition import decompose
from scalebound.errors import InputError
from scalebound.laws import carried_over, chinchilla
from scalebound.laws.gap import fit_power_law, gap_at, published_sigma
from scalebound.laws.published_models import read_models

HEADER = "name\tn_params\tn_tokens\tsource\n"


def test_the_gap_is_that_of_the_papers_bound():
    terms = decompose(2.0, 2.0, 0.4, 0.138, 512)
    found = gap_at(0.138, 0.4, 512)
    assert found.total == pytest.approx(terms.bound - 2.0)
    assert found.parameters_per_token == pytest.approx(0.138 * np.log(512))


def test_the_exponent_of_a_power_law_is_found_with_its_error():
    tokens = np.geomspace(1e5, 1e9, 9)
    exact = fit_power_law(tokens, 3 * tokens**-0.18)
    assert (exact.exponent, exact.factor) == (pytest.approx(0.18), pytest.approx(3))
    assert exact.error < 1e-12
    rng = np.random.default_rng(1)
    found = [fit_power_law(tokens, 3 * tokens**-0.18 * np.exp(0.05 * rng.standard_normal(9))) for _ in range(400)]
    # the stated standard error is the spread that repetition shows
    assert np.mean([x.error for x in found]) == pytest.approx(np.std([x.exponent for x in found]), rel=0.15)


def test_two_points_have_no_exponent():
    assert fit_power_law([1e5, 1e5, 1e6], [1.0, 1.1, 0.9]) is None


def test_the_gap_of_information_falls_as_half_of_beta():
    """C log V vanishes beside sqrt(C) (Sigma + sqrt 2) for large D, which falls as D^(-beta / 2)."""
    law = chinchilla.PUBLISHED["Hoffmann et al. 2022"]
    tokens = np.geomspace(1e30, 1e34, 5)
    c = carried_over.information_per_token(law, tokens)
    variation = carried_over.predicted(law, c, tokens / 20, tokens, 0.3, 512)["term_loss_variation"]
    assert fit_power_law(tokens, variation).exponent == pytest.approx(law.beta / 2)


def test_nominal_code_costs_the_same_at_every_size_with_the_same_tokens_per_parameter():
    sizes = np.array([1e6, 1e9])
    np.testing.assert_allclose(carried_over.nominal_per_token(4, sizes, 20 * sizes), 4 * np.log(2) / 20)


def test_published_loss_variation():
    assert float(published_sigma(7e7)) == pytest.approx(0.27 + 8337 * 7e7**-0.54)


def test_the_familys_own_law_takes_its_own_loss_variation():
    largest = {"sigma": 0.46, "vocab_size": 512}
    sigma, vocab_size = carried_over.assumed(True, largest, [1e9], 50254)
    assert (sigma.tolist(), vocab_size) == ([0.46], 512)
    sigma, vocab_size = carried_over.assumed(False, largest, [1e9], 50254)
    assert (sigma[0], vocab_size) == (pytest.approx(float(published_sigma(1e9))), 50254)


def test_the_table_of_published_models_that_comes_with_the_project_is_read():
    from pathlib import Path

    table = read_models(Path(__file__).resolve().parents[3] / "config/published_models.tsv")
    assert {"Chinchilla 70B", "Llama 3 8B"} <= set(table["name"])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("name\tparams\n", "unknown column 'params'"),
        (HEADER + "a\t-1\t5\tx\n", "n_params"),
        (HEADER + "a\t1e9\tmany\tx\n", "n_tokens"),
        (HEADER + "a\t1\t5\tx\na\t2\t5\tx\n", "'a' occurs twice"),
    ],
)
def test_a_wrong_table_of_models_is_refused(tmp_path, text, word):
    path = tmp_path / "models.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=word):
        read_models(path)
