"""Losses beside a reference and largest differences, against the plain formula in float64, whatever the model, the batch and the device's memory."""

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from scalebound.errors import InputError
from scalebound.scoring import beside_reference, references_again, scoring

VOCABULARY, LENGTH, ALPHAS = 61, 13, (0.01, 0.08)
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 16}
SIZES |= {"intermediate_size": 24, "initializer_range": 0.3, "bos_token_id": 0, "eos_token_id": 0}
CAPPED = {"num_key_value_heads": 1, "head_dim": 8, "final_logit_softcapping": 1.5}


def random_model(name, seed, **settings):
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **SIZES | settings)).eval()


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module", params=["gpt_neox", "gemma2"])
def pair(request):
    """A model and its reference: logits that are a product with the head, and soft-capped ones, which are more."""
    return [random_model(request.param, seed, **(CAPPED if request.param == "gemma2" else {})) for seed in (0, 1)]


@pytest.fixture(scope="module")
def tokens():
    return np.random.default_rng(0).integers(0, VOCABULARY, (7, LENGTH))


def shares(model, tokens):
    with torch.no_grad():
        return torch.softmax(model(input_ids=torch.from_numpy(tokens[:, :-1])).logits.double(), -1).numpy()


def direct(p, r, tokens):
    """(nll, entropy, reference_nll, largest differences) by the formula."""
    chosen = [-np.log(np.take_along_axis(x, tokens[:, 1:, None], 2)[..., 0]) for x in (p, r)]
    largest = [np.log(((1 - a / 2) * r + a / 2 / VOCABULARY) / ((1 - a) * p + a / VOCABULARY)).max(-1) for a in ALPHAS]
    return chosen[0], -(p * np.log(p)).sum(-1), chosen[1], *largest


def values(found):
    return found.nll, found.entropy, found.reference_nll, *found.largest


@pytest.mark.parametrize("size", [None, 1, 3])
def test_all_columns_equal_the_formula(pair, tokens, size):
    """Two windows before the first reference, the others beside it, in an order that is not theirs."""
    model, reference = pair
    groups = [(np.array([5, 1]), None), (np.array([6, 0, 2, 4, 3]), reference)]
    found = beside_reference.score(model, groups, tokens, ALPHAS, size)
    p, r = shares(model, tokens), shares(reference, tokens)
    r[[5, 1]] = 1 / VOCABULARY
    for name, mine, wanted in zip(("nll", "entropy", "reference_nll", "m", "m"), values(found), direct(p, r, tokens), strict=True):
        np.testing.assert_allclose(mine, wanted, atol=2e-5, err_msg=name)
    assert np.ptp(found.largest[0]) > 0.1  # the comparison could tell positions apart
    assert all((x - y > 0.01).any() for x, y in zip(found.largest, found.largest[1:]))


def test_loss_and_entropy_are_those_of_plain_scoring(pair, tokens):
    found, plain = beside_reference.score(pair[0], [(range(7), pair[1])], tokens, ALPHAS), scoring.score(pair[0], tokens)
    np.testing.assert_allclose(found.nll, plain.nll, atol=1e-5)
    np.testing.assert_allclose(found.entropy, plain.entropy, atol=1e-5)


def test_a_model_beside_itself_differs_by_its_smoothing_alone(pair, tokens):
    """log ((1 - b) p + b/V) / ((1 - a) p + a/V) is largest where p is: below log (1 - b) / (1 - a)."""
    found = beside_reference.score(pair[0], [(range(7), pair[0])], tokens, ALPHAS)
    for a, largest in zip(ALPHAS, found.largest):
        assert (largest > 0).all()
        assert (largest <= np.log((1 - a / 2) / (1 - a)) + 1e-6).all()


def test_chunks_of_tokens_change_nothing(pair, tokens, monkeypatch):
    groups = [(range(7), pair[1])]
    whole = beside_reference.score(pair[0], groups, tokens, ALPHAS)
    monkeypatch.setattr(beside_reference, "LEAST_CHUNK", 5)
    monkeypatch.setitem(beside_reference.CHUNK_BYTES, "cpu", 1)
    for mine, wanted in zip(values(beside_reference.score(pair[0], groups, tokens, ALPHAS)), values(whole), strict=True):
        np.testing.assert_allclose(mine, wanted, atol=1e-5)


def test_the_logits_of_a_batch_never_exist_at_once(tokens, monkeypatch):
    """Where the head can be taken apart, no more than a chunk of tokens passes through it."""
    seen, (model, reference) = [], (random_model("gpt_neox", seed) for seed in (0, 1))
    monkeypatch.setattr(beside_reference, "LEAST_CHUNK", 5)
    monkeypatch.setitem(beside_reference.CHUNK_BYTES, "cpu", 1)
    plain = scoring._logits
    monkeypatch.setattr(scoring, "_logits", lambda states, weight: seen.append(len(states)) or plain(states, weight))
    beside_reference.score(model, [(range(7), reference)], tokens, ALPHAS)
    assert max(seen) == 5
    assert sum(seen) == 2 * tokens[:, 1:].size


def test_a_device_whose_memory_runs_out_takes_smaller_batches(pair, tokens, monkeypatch):
    plain = beside_reference._score_batch

    def small(logits, beside, batch, alphas):
        if len(batch) > 2:
            raise torch.cuda.OutOfMemoryError
        return plain(logits, beside, batch, alphas)

    groups = [(range(7), pair[1])]
    wanted = beside_reference.score(pair[0], groups, tokens, ALPHAS)
    monkeypatch.setattr(beside_reference, "_score_batch", small)
    for mine, whole in zip(values(beside_reference.score(pair[0], groups, tokens, ALPHAS, 7)), values(wanted), strict=True):
        np.testing.assert_allclose(mine, whole, atol=1e-5)


def test_half_precision_is_near(tokens):
    pair = [random_model("gpt_neox", seed) for seed in (0, 1)]
    wide = beside_reference.score(pair[0], [(range(7), pair[1])], tokens, ALPHAS)
    narrow = beside_reference.score(pair[0].bfloat16(), [(range(7), pair[1].bfloat16())], tokens, ALPHAS)
    assert np.abs(narrow.largest[1] - wide.largest[1]).mean() < 0.1
    assert 0 < np.abs(narrow.nll - wide.nll).max() < 0.5


def test_another_vocabulary_is_refused(tokens):
    with pytest.raises(InputError, match="a vocabulary of 60, the model has 61"):
        beside_reference.score(random_model("gpt_neox", 0), [(range(7), random_model("gpt_neox", 1, vocab_size=60))], tokens, ALPHAS)


def test_a_reference_that_is_not_finite_is_refused(tokens):
    model, reference = (random_model("gpt_neox", seed) for seed in (0, 1))
    reference.get_output_embeddings().weight.data[3] = torch.nan
    with pytest.raises(InputError, match="not finite at window 0, position 0"):
        beside_reference.score(model, [(range(7), reference)], tokens, ALPHAS)


class TestScoredAgain:
    """What `verify` computes by code of its own."""

    def found(self, pair, tokens, stated, groups=None):
        return references_again.differences(pair[0], groups or [(range(7), pair[1])], tokens, stated, ALPHAS, 0, "again")

    def stated(self, pair, tokens):
        made = beside_reference.score(pair[0], [(range(7), pair[1])], tokens, ALPHAS)
        return made.reference_nll.astype(np.float64), [x.astype(np.float64) for x in made.largest]

    def test_what_is_so_agrees(self, pair, tokens):
        assert max(self.found(pair, tokens, self.stated(pair, tokens)).values()) < 1e-4

    def test_losses_of_another_reference_differ(self, pair, tokens):
        found = self.found(pair, tokens, self.stated(pair, tokens), [(range(7), None)])
        assert found["a token differs under its reference"] > 0.1

    def test_largest_differences_that_are_too_small_are_named_and_larger_ones_are_as_good(self, pair, tokens):
        nll, largest = self.stated(pair, tokens)
        assert self.found(pair, tokens, (nll, [x + 0.5 for x in largest]))["a largest difference is too small"] < 0.001
        assert self.found(pair, tokens, (nll, [x - 0.5 for x in largest]))["a largest difference is too small"] == pytest.approx(0.5, abs=1e-3)
