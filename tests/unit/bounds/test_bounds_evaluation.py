"""All bounds of one checkpoint: an independent computation, what each C pays for, monotonicity, types and imports."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from scalebound.bounds.evaluation import Problem, evaluate
from scalebound.bounds.token_scores import TokenScores
from scalebound.configuration.config import Bound
from scalebound.errors import InputError

VOCAB_SIZE = 50254
SETTINGS = Bound(failure_probability=0.02, s_points=60, alpha_points=9, alpha_min=0.003, alpha_max=0.4)
BOUNDS = [("paper", "bound"), ("paper", "bound_sqrt"), ("freedman", "bound"), ("azuma", "bound")]
TOKENS, BITS = 1_000_000, 200_000  # C = 0.139, as at four bits and twenty tokens a parameter


def heavy_tailed(rng):
    """Token losses as a language model has them: many small, some large."""
    entropy = rng.gamma(1.2, 1.7, 700)
    return entropy * rng.exponential(1, 700), entropy


def nearly_certain(rng):
    """A model that knows almost every token and is wrong without warning on a few."""
    return np.where(rng.random(700) < 0.02, 18.0, 0.01), np.full(700, 0.05)


def too_confident(rng):
    """Losses well above what the model expects of itself."""
    return rng.gamma(4, 1.0, 700), np.full(700, 0.5)


def too_modest(rng):
    """Losses well below what the model expects of itself."""
    # no entropy exceeds the logarithm of the vocabulary
    return rng.gamma(1, 0.3, 700), rng.gamma(4, 1.0, 700).clip(max=np.log(VOCAB_SIZE))


DATA = [heavy_tailed, nearly_certain, too_confident, too_modest]


def problem_of(data, tokens=TOKENS, **changed):
    """A problem of one window; `changed` are {column: value of its fourth token}."""
    nll, entropy = data(np.random.default_rng(11))
    train_loss = float(nll.mean()) - 0.04
    for name, value in changed.items():
        {"nll": nll, "entropy": entropy}[name][3] = value
    return Problem(TokenScores(nll[None], entropy[None], VOCAB_SIZE), train_loss, tokens)


def settings_with(**changes):
    return Bound(**{**SETTINGS.model_dump(), **changes})


def smoothed(nll, alpha):
    return -np.log((1 - alpha) * np.exp(-nll) + alpha / VOCAB_SIZE)


def direct_values(problem, alpha, c, s_values):
    """(F) for every s, written from the formula."""
    worst = math.log(VOCAB_SIZE / alpha)
    reference = problem.scores.entropy[0] - math.log(1 - alpha)
    difference = (reference - smoothed(problem.scores.nll[0], alpha)) / worst
    return reference.mean() - worst / s_values * (np.log(1 + s_values * difference[:, None]).mean(axis=0) - c)


def values(result):
    return np.array([result[kind][form] for kind, form in BOUNDS])


@pytest.mark.parametrize("data", DATA)
def test_evaluation_agrees_with_an_independent_computation(data):
    problem, s_values, alphas = problem_of(data), np.arange(1, 61) / 61, 0.003 * (0.4 / 0.003) ** (np.arange(9) / 8)
    found = evaluate(problem, BITS, SETTINGS)
    message = BITS * math.log(2) + math.log(1 / 0.02)
    c_paper, c_freedman, c_azuma = [(message + math.log(grids)) / TOKENS for grids in (60, 60 * 9, 9)]

    alpha = c_paper / (1 + c_paper)
    worst, losses = math.log(VOCAB_SIZE / alpha), smoothed(problem.scores.nll[0], alpha)
    variation = direct_values(problem, alpha, c_paper, s_values).min() - losses.mean() - worst * c_paper
    exact = (1 + c_paper) * math.log(1 + c_paper) - c_paper * math.log(c_paper)
    rest = problem.scores.nll[0].mean() + c_paper * math.log(VOCAB_SIZE) + variation
    expected = [
        rest + exact,
        rest + math.sqrt(2 * c_paper),
        min(direct_values(problem, a, c_freedman, s_values).min() for a in alphas),
        min(smoothed(problem.scores.nll[0], a).mean() + math.log(VOCAB_SIZE / a) * math.sqrt(c_azuma / 2) for a in alphas),
    ]
    np.testing.assert_allclose(values(found), expected, rtol=1e-11)


def test_each_complexity_pays_for_the_grids_that_are_searched():
    found = evaluate(problem_of(heavy_tailed), BITS, SETTINGS)
    # BITS log 2 = 138629.436, log(1 / 0.02) = 3.912; the paper's form takes its alpha from C and pays for no grid of it
    unpaid = (BITS * 0.6931471805599453 + 3.912023005428146) / TOKENS
    paid = {name: (found[name]["C"] - unpaid) * TOKENS for name in ("paper", "freedman", "azuma")}
    assert paid == pytest.approx({"paper": math.log(60), "freedman": math.log(540), "azuma": math.log(9)}, abs=1e-6)


@pytest.mark.parametrize("data", DATA)
def test_reported_choices_attain_the_reported_bounds(data):
    problem = problem_of(data)
    found = evaluate(problem, BITS, SETTINGS)
    direct, azuma, paper = found["freedman"], found["azuma"], found["paper"]
    assert direct_values(problem, direct["alpha"], direct["C"], np.array([direct["s"]]))[0] == pytest.approx(direct["bound"], rel=1e-11)
    at = smoothed(problem.scores.nll[0], azuma["alpha"]).mean() + math.log(VOCAB_SIZE / azuma["alpha"]) * math.sqrt(azuma["C"] / 2)
    assert at == pytest.approx(azuma["bound"], rel=1e-11)
    assert paper["alpha"] == pytest.approx(paper["C"] / (1 + paper["C"]), rel=1e-14)
    assert paper["terms"]["loss_variation"] == pytest.approx(paper["sigma"] * math.sqrt(paper["C"]), rel=1e-13)


@pytest.mark.parametrize("data", DATA)
def test_paper_terms_add_up(data):
    problem = problem_of(data)
    paper = evaluate(problem, BITS, SETTINGS)["paper"]
    terms = dict(paper["terms"])
    exact, root = terms.pop("smoothing"), terms.pop("smoothing_sqrt")
    assert sum(terms.values()) + exact == pytest.approx(paper["bound"], rel=1e-14)
    assert sum(terms.values()) + root == pytest.approx(paper["bound_sqrt"], rel=1e-14)
    assert terms["train_loss"] == problem.train_loss
    assert terms["train_loss"] + terms["quantization_gap"] == pytest.approx(problem.scores.nll[0].mean(), rel=1e-14)


def assert_steps_up(rows):
    """Rows of bounds never fall, and every bound rises in the end."""
    rows = np.array(rows)
    assert (np.diff(rows, axis=0) >= -1e-12 * rows[1:]).all()
    assert (rows[-1] > rows[0]).all()


@pytest.mark.parametrize("data", DATA)
def test_bounds_do_not_rise_with_more_tokens(data):
    # (P) moves alpha with C, so it is monotone where the grid of s reaches its minimum: here n <= 1000 L
    sizes = [int(BITS * ratio) for ratio in np.geomspace(1, 1000, 13)]
    assert_steps_up([values(evaluate(problem_of(data, tokens=n), BITS, settings_with(s_points=300))) for n in reversed(sizes)])


@pytest.mark.parametrize("data", DATA)
def test_bounds_do_not_fall_with_a_longer_code(data):
    lengths = [int(TOKENS * bits_per_token) for bits_per_token in np.geomspace(0.001, 1, 13)]
    assert_steps_up([values(evaluate(problem_of(data), bits, settings_with(s_points=300))) for bits in lengths])


@pytest.mark.parametrize("data", DATA)
def test_bounds_do_not_fall_with_a_smaller_failure_probability(data):
    deltas = [0.9, 0.5, 0.1, 0.01, 1e-4, 1e-8]
    assert_steps_up([values(evaluate(problem_of(data, tokens=1000), 5, settings_with(failure_probability=d))) for d in deltas])


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("bits", [0, 2000, BITS])
def test_bounds_exceed_the_empirical_smoothed_loss(data, bits):
    problem = problem_of(data)
    found = evaluate(problem, bits, SETTINGS)
    for kind, form in BOUNDS:
        assert found[kind][form] > smoothed(problem.scores.nll[0], found[kind]["alpha"]).mean(), (kind, form)


@pytest.mark.parametrize("data", DATA)
def test_square_root_form_is_above_the_exact_form(data):
    paper = evaluate(problem_of(data), BITS, SETTINGS)["paper"]
    assert paper["bound"] < paper["bound_sqrt"]


def test_the_papers_bound_is_above_its_freedman_bound_at_the_same_alpha():
    # the two differ by nll - log(1 - a) - X >= 0, which (P) gives away
    problem = problem_of(heavy_tailed)
    paper = evaluate(problem, BITS, SETTINGS)["paper"]
    given_away = (problem.scores.nll[0] - math.log(1 - paper["alpha"]) - smoothed(problem.scores.nll[0], paper["alpha"])).mean()
    direct = direct_values(problem, paper["alpha"], paper["C"], np.array([paper["s"]]))[0]
    assert paper["bound"] - direct == pytest.approx(given_away, rel=1e-9)
    assert given_away > 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("field", ["nll", "entropy"])
def test_scores_that_are_not_finite_are_refused(field, value):
    # smoothing makes an infinite loss finite, so only a check of the unsmoothed loss sees it
    with pytest.raises(InputError, match="NaN or infinite"):
        problem_of(heavy_tailed, **{field: value})


@pytest.mark.parametrize("train_loss", [math.nan, math.inf])
def test_a_training_loss_that_is_not_finite_is_refused(train_loss):
    nll, entropy = heavy_tailed(np.random.default_rng(11))
    with pytest.raises(InputError):
        evaluate(Problem(TokenScores(nll[None], entropy[None], VOCAB_SIZE), train_loss, TOKENS), BITS, SETTINGS)


def test_a_negative_entropy_is_refused():
    with pytest.raises(InputError, match="entropies from -1"):
        problem_of(heavy_tailed, entropy=-1.0)


@pytest.mark.parametrize(("bits", "tokens"), [(-1, 1000), (10, 0)])
def test_impossible_code_lengths_and_streams_are_refused(bits, tokens):
    with pytest.raises(InputError, match="complexity"):
        evaluate(problem_of(heavy_tailed, tokens=tokens), bits, SETTINGS)


def test_results_are_plain_double_precision_and_survive_json():
    found = evaluate(problem_of(heavy_tailed), BITS, SETTINGS)
    flat = {**found["freedman"], **found["azuma"], **found["paper"], **found["paper"]["terms"]}
    flat.pop("terms")
    assert {name: type(value) for name, value in flat.items()} == dict.fromkeys(flat, float)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_evaluation_does_not_import_torch():
    code = "import sys, scalebound.bounds.evaluation; print('numpy' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
