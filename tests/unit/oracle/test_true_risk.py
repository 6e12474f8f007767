"""The true risk against brute force: every token enumerated, one prefix at a time, in plain Python."""

import math

import numpy as np
import pytest
import torch

from scalebound.oracle import true_risk as module
from scalebound.oracle.generation import generate
from scalebound.oracle.true_risk import true_risk

LENGTH, ALPHA = 6, 0.07


def distribution(model, prefix):
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([prefix])).logits[0, -1].tolist()
    total = math.fsum(math.exp(x) for x in logits)
    return [math.exp(x) / total for x in logits]


def spread(p, alpha):
    return [(1 - alpha) * x + alpha / len(p) for x in p]


def brute_force(oracle, model, tokens, alpha):
    """(risk, loss): means over positions of the expected and of the realised smoothed loss."""
    risks, losses = [], []
    for row in tokens.tolist():
        for k in range(1, len(row)):
            p, q = distribution(oracle, row[:k]), spread(distribution(model, row[:k]), alpha)
            risks.append(-math.fsum(a * math.log(b) for a, b in zip(p, q)))
            losses.append(-math.log(q[row[k]]))
    return math.fsum(risks) / len(risks), math.fsum(losses) / len(losses)


@pytest.fixture(scope="module")
def models(model):
    return model(1), model(2), model(3)


@pytest.fixture(scope="module")
def tokens(models):
    return np.concatenate(list(generate(models[0], 9, LENGTH, 4)))


def test_it_is_what_enumeration_gives(models, tokens):
    oracle, trained, decoded = models
    found, _ = true_risk(oracle, trained, decoded, tokens, ALPHA)
    for model, alpha, name in ((trained, 0, "trained"), (decoded, 0, "decoded"), (decoded, ALPHA, "smoothed")):
        risk, loss = brute_force(oracle, model, tokens, alpha)
        assert getattr(found, f"{name}_risk") == pytest.approx(risk, abs=1e-5)
        assert getattr(found, f"{name}_loss") == pytest.approx(loss, abs=1e-5)
    entropy, loss = brute_force(oracle, oracle, tokens, 0)
    assert (found.entropy, found.oracle_loss) == (pytest.approx(entropy, abs=1e-5), pytest.approx(loss, abs=1e-5))


def test_batches_do_not_matter(models, tokens, monkeypatch):
    whole, _ = true_risk(*models, tokens, ALPHA)
    monkeypatch.setattr(module, "TOKENS_PER_BATCH", 1)
    assert true_risk(*models, tokens, ALPHA)[0].smoothed_risk == pytest.approx(whole.smoothed_risk, abs=1e-6)


def test_other_statements_have_a_smoothing_and_rows_of_their_own(models, tokens):
    _, others = true_risk(*models, tokens, ALPHA, [(0.3, 0), (ALPHA, 4)])
    whole, _ = true_risk(*models, tokens, 0.3)
    later, _ = true_risk(*models, tokens[4:], ALPHA)
    assert others == pytest.approx([whole.smoothed_risk, later.smoothed_risk], abs=1e-6)
    assert len({whole.smoothed_risk, later.smoothed_risk, true_risk(*models, tokens, ALPHA)[0].smoothed_risk}) == 3


def test_no_model_is_better_than_the_oracle_and_the_oracle_reaches_its_entropy(models, tokens):
    oracle, other, _ = models
    found, _ = true_risk(oracle, other, oracle, tokens, ALPHA)
    assert found.trained_risk > found.entropy + 0.01
    assert found.decoded_risk == pytest.approx(found.entropy, abs=1e-12)
    assert found.smoothed_risk > found.entropy


def test_without_smoothing_the_smoothed_values_are_the_decoded_ones(models, tokens):
    found, _ = true_risk(*models, tokens, 0)
    assert (found.smoothed_risk, found.smoothed_loss) == (found.decoded_risk, found.decoded_loss)


def test_losses_on_a_long_stream_come_close_to_risks_by_their_standard_errors(models):
    """The differences have mean zero given the past: that is what makes it the risk of the theorem."""
    oracle, trained, decoded = models
    tokens = np.concatenate(list(generate(oracle, 3000, LENGTH, 8)))
    found, _ = true_risk(oracle, trained, decoded, tokens, ALPHA)
    assert abs(found.oracle_loss - found.entropy) < 4 * found.oracle_standard_error
    assert found.oracle_standard_error < 0.02
    assert abs(found.trained_loss - found.trained_risk) < 0.1
    assert abs(found.smoothed_loss - found.smoothed_risk) < 0.1


def test_a_stream_of_another_model_gives_itself_away(models):
    tokens = np.concatenate(list(generate(models[1], 3000, LENGTH, 8)))
    found, _ = true_risk(*models, tokens, ALPHA)
    assert abs(found.oracle_loss - found.entropy) > 6 * found.oracle_standard_error
