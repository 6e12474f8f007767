"""The bound for documents: its formula by hand, and coverage where the risk of a new document is known.

As for the other bounds, each source is judged twice: the bound must hold, and the same bound with a mistake that one could
make (no complexity, tokens counted as documents, every token weighted alike) must fail.
"""

import math

import numpy as np
import pytest
from scipy.linalg import hadamard
from sources import D, no_more_than_allowed

from scalebound.bounds.complexity import alpha_grid
from scalebound.bounds.document_level import document_bound, interval_length
from scalebound.bounds.smoothing import smoothed_loss, worst_case_loss
from scalebound.errors import InputError

ALPHA = np.array([0.01])
V = 64


def test_the_formula_by_hand():
    # two documents, of one and of two tokens; V = 4, alpha = 1/2: smoothed probabilities p / 2 + 1/8
    nll, weights = -np.log([[0.75, 0.25, 0.5]]), np.array([[1, 0.5, 0.5]])
    mean = (-math.log(0.5) - (math.log(0.25) + math.log(0.375)) / 2) / 2
    c = (3 * math.log(2) + math.log(1 / 0.1)) / 2
    found = document_bound(nll, weights, 2, 4, 3, 0.1, np.array([0.5]))
    assert found.mean_loss == pytest.approx(mean, rel=1e-12)
    assert found.length == pytest.approx(math.log(5), rel=1e-12)
    assert pytest.approx(c, rel=1e-12) == found.C
    assert found.bound == pytest.approx(mean + math.log(5) * math.sqrt(c / 2), rel=1e-12)


def test_the_interval_is_that_of_smoothed_losses():
    for alpha in (0.002, 0.1, 0.5):
        least, most = smoothed_loss(np.array([0.0, 1e9]), alpha, V)
        assert most == pytest.approx(worst_case_loss(alpha, V))
        assert interval_length(alpha, V) == pytest.approx(most - least, rel=1e-9)


def test_the_grid_of_alpha_is_searched_and_paid_for():
    nll, weights = np.random.default_rng(0).exponential(2, (20, 30)), np.ones((20, 30))
    alphas = alpha_grid(40, 0.002, 0.5)
    found = document_bound(nll, weights, 20, V, 10, D, alphas)
    alone = [document_bound(nll, weights, 20, V, 10, D, alphas[[k]]) for k in range(40)]
    assert pytest.approx(alone[0].C + math.log(40) / 20, rel=1e-12) == found.C
    direct = [one.mean_loss + one.length * math.sqrt(found.C / 2) for one in alone]
    assert found.bound == pytest.approx(min(direct), rel=1e-12)
    assert found.alpha == alphas[int(np.argmin(direct))]


@pytest.mark.parametrize("weights", [np.zeros((1, 2)), np.array([[1, -1e-3]]), np.array([[1, np.nan]]), np.ones((2, 1))])
def test_weights_that_give_no_mean_are_refused(weights):
    with pytest.raises(InputError, match="weights"):
        document_bound(np.ones((1, 2)), weights, 2, V, 0, D, ALPHA)


def test_no_document_is_no_sample():
    with pytest.raises(InputError, match="n=0"):
        document_bound(np.ones((1, 2)), np.ones((1, 2)), 0, V, 0, D, ALPHA)


def coins(draws, m, seed):
    """[draws, m] fair coins: documents that a predictor gets either all right or all wrong."""
    return np.random.default_rng(seed).integers(2, size=(draws, m))


def losses_of(wrong):
    """nll next to 0 for right and next to infinite for wrong tokens, at the two ends of the interval."""
    return np.where(wrong, 1e9, 0.0)


RISK = float(smoothed_loss(losses_of(np.array([False, True])), ALPHA[0], V).mean())


@pytest.mark.parametrize(("documents_counted", "holds"), [(1, True), (16, False)])
def test_it_holds_on_documents_of_equal_tokens_and_fails_if_tokens_are_counted(documents_counted, holds):
    """16 tokens of one document tell no more than one: counted as 16 documents they make the bound too small."""
    violated = []
    for wrong in coins(2000, 40, seed=1):
        nll = np.repeat(losses_of(wrong)[:, None], 16, axis=1)
        violated.append(document_bound(nll, np.full(nll.shape, 1 / 16), 40 * documents_counted, V, 0, D, ALPHA).bound < RISK)
    assert no_more_than_allowed(violated) == holds


@pytest.mark.parametrize(("by_document", "holds"), [(True, True), (False, False)])
def test_it_holds_where_long_documents_are_easy_and_fails_if_every_token_weighs_alike(by_document, holds):
    """Documents of 1 token are wrong, of 30 are right: the mean over tokens says nothing of the mean over documents."""
    violated = []
    for wrong in coins(2000, 40, seed=2):
        lengths = np.where(wrong, 1, 30)
        nll = np.repeat(losses_of(wrong), lengths)
        weights = np.repeat(1 / lengths, lengths) if by_document else np.ones(len(nll))
        violated.append(document_bound(nll, weights, 40, V, 0, D, ALPHA).bound < RISK)
    assert no_more_than_allowed(violated) == holds


@pytest.mark.parametrize(("bits_paid", "holds"), [(6, True), (0, False)])
def test_it_holds_for_a_selected_predictor_exactly_if_it_pays_its_bits(bits_paid, holds):
    """The empirical best of 64 predictors, each right on its own half of 128 kinds of documents; the risk of each is the middle."""
    outside = hadamard(128)[1:65] < 0
    violated = []
    for kinds in np.random.default_rng(3).integers(128, size=(2000, 100)):
        best = (outside @ np.bincount(kinds, minlength=128)).argmin()
        violated.append(document_bound(losses_of(outside[best, kinds]), np.ones(100), 100, V, bits_paid, D, ALPHA).bound < RISK)
    assert no_more_than_allowed(violated) == holds
