"""Ablations: each variant is the bound that its choice gives, and pays for what it searches."""

import numpy as np
import pytest

from scalebound.bounds import smoothing
from scalebound.bounds.ablation import Case, ablate
from scalebound.bounds.complexity import complexity
from scalebound.bounds.evaluation import Problem, evaluate
from scalebound.bounds.token_scores import TokenScores
from scalebound.configuration.config import Bound
from scalebound.configuration.studies import Ablations

SETTINGS = Ablations(s_points=[1, 10, 1000], failure_probabilities=[0.1, 0.01], alpha_points=[5, 40], constants=9, windows=[4, 16, 64], repeats=6)
BOUND = Bound()


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(8)
    entropy = rng.uniform(0.2, 4.0, (24, 32))
    nll = rng.exponential(entropy)
    alpha = smoothing.closed_form_alpha(complexity(40_000, 200_000, BOUND.failure_probability, BOUND.s_points))
    reference = smoothing.reference_loss(entropy, alpha)
    return Case(nll, entropy, nll - 0.01, 0.95 * reference, reference, 200_000, 512, 40_000)


@pytest.fixture(scope="module")
def rows(case):
    return {(row["ablation"], row["setting"]): row for row in ablate(case, BOUND, SETTINGS)}


def test_the_standard_choices_give_the_standard_bounds(case, rows):
    found = evaluate(Problem(TokenScores(case.nll, case.entropy, case.vocab_size), float(case.plain.mean()), case.tokens), case.code_length_bits, BOUND)
    assert rows["s_points", "1000"]["bound"] == pytest.approx(found["paper"]["bound"])
    assert rows["failure_probability", "0.01"]["bound"] == pytest.approx(found["paper"]["bound"])
    assert rows["windows", "24"]["bound"] == pytest.approx(found["paper"]["bound"])
    assert rows["alpha", "grid of 40"]["bound"] == pytest.approx(found["freedman"]["bound"])
    assert rows["alpha", "grid of 40"]["x"] == pytest.approx(found["freedman"]["alpha"])


def test_equal_references_give_equal_bounds_and_others_do_not(rows):
    house, smoothed, plain = (rows["reference", name]["bound"] for name in ("entropy - log(1 - a)", "mean under the smoothed model", "mean under the model"))
    assert house == pytest.approx(smoothed)
    assert plain != pytest.approx(house)


def test_searched_grids_are_paid_for(case, rows):
    standard = rows["s_points", "1000"]["C"]
    for key, points in ((("reference", "constant, best of 9"), 9), (("alpha", "grid of 5"), 5)):
        assert rows[key]["C"] == pytest.approx(standard + np.log(points) / case.tokens, rel=1e-12)
    assert rows["s_points", "1"]["C"] == pytest.approx(standard - np.log(1000) / case.tokens)


def test_a_constant_reference_is_the_best_of_its_grid(rows):
    assert rows["reference", "constant, best of 9"]["x"] in np.linspace(0, np.log(512), 9)


def test_a_smaller_failure_probability_costs_more(rows):
    assert rows["failure_probability", "0.1"]["bound"] < rows["failure_probability", "0.01"]["bound"]


def test_samples_are_drawn_below_the_whole_and_spread_less_the_larger_they_are(rows):
    assert ("windows", "64") not in rows
    small, large = rows["windows", "4"], rows["windows", "16"]
    assert small["low"] <= small["bound"] <= small["high"]
    assert large["high"] - large["low"] < small["high"] - small["low"]


def test_the_same_seed_gives_the_same_rows(case):
    assert list(ablate(case, BOUND, SETTINGS)) == list(ablate(case, BOUND, SETTINGS))
