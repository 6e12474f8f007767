"""Rows drawn from an oracle: repeatable, a prefix of every longer stream, and distributed as the oracle says."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from scalebound.oracle.generation import BATCH_ROWS, generate, pick, row_uniforms

LENGTH = 7


def stream(model, rows, seed=5, length=LENGTH):
    return np.concatenate(list(generate(model, rows, length, seed)))


def probabilities(model, prefix):
    with torch.inference_mode():
        return torch.softmax(model(input_ids=torch.tensor([prefix])).logits[0, -1].double(), -1).numpy()


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(model):
    oracle = model(1)
    assert np.array_equal(stream(oracle, 40), stream(oracle, 40))
    assert not np.array_equal(stream(oracle, 40), stream(oracle, 40, seed=6))


@pytest.mark.parametrize("rows", [1, BATCH_ROWS - 1, BATCH_ROWS, BATCH_ROWS + 1])
def test_a_longer_stream_begins_with_every_shorter_one(model, rows):
    oracle = model(1)
    longer = stream(oracle, 2 * BATCH_ROWS + 3)
    assert longer.shape == (2 * BATCH_ROWS + 3, LENGTH)
    assert np.array_equal(longer[:rows], stream(oracle, rows))


def test_rows_differ_and_each_has_uniforms_of_its_own(model):
    drawn = stream(model(1), 100)
    assert len(np.unique(drawn, axis=0)) > 50
    assert len({row_uniforms(5, row, 3)[0] for row in range(1000)}) == 1000


def test_every_token_is_the_one_that_plain_forward_passes_pick(model):
    """Without cache and without batches: the first token after the end of a document, then each given its row's prefix alone."""
    oracle, drawn = model(1), stream(model(1), 20)
    for row in range(20):
        uniforms, prefix = row_uniforms(5, row, LENGTH), []
        for uniform in uniforms:
            sums = np.cumsum(probabilities(oracle, prefix or [0]))
            prefix.append(int(np.searchsorted(sums / sums[-1], uniform, side="right")))
        assert drawn[row].tolist() == prefix


def test_frequencies_are_the_oracles_conditionals(model):
    """Chi-square of the next token after every prefix of one and of two tokens that is common enough, at a fixed seed."""
    oracle, drawn, levels = model(2), stream(model(2), 20_000, seed=9, length=3), []
    for length in (0, 1, 2):
        prefixes, counts = np.unique(drawn[:, :length], axis=0, return_counts=True)
        for prefix in prefixes[counts > 500]:
            following = drawn[(drawn[:, :length] == prefix).all(axis=1)][:, length]
            expected = len(following) * probabilities(oracle, prefix.tolist() or [0])
            common = expected >= 5
            observed = np.bincount(following, minlength=len(expected))
            pairs = [np.append(x[common], x[~common].sum()) for x in (observed, expected)]
            observed, expected = (x if pairs[1][-1] > 0 else x[:-1] for x in pairs)
            levels.append(chisquare(observed, expected).pvalue)
    assert len(levels) > 10
    # Bonferroni: all at once fail with probability 0.001
    assert min(levels) > 0.001 / len(levels)


def test_frequencies_are_not_those_of_another_model(model):
    """The chi-square can fail: the same rows against another oracle."""
    drawn = stream(model(2), 5_000, seed=9, length=2)[:, 0]
    expected = 5_000 * probabilities(model(3), [0])
    assert chisquare(np.bincount(drawn, minlength=len(expected)), expected / expected.sum() * 5_000).pvalue < 1e-6


def test_the_inverse_of_the_running_sum_picks_what_has_probability():
    p = np.array([[0.0, 0.25, 0.0, 0.75, 0.0]], dtype=np.float32)
    for uniform, token in ((0.0, 1), (0.249, 1), (0.25, 3), (0.999, 3), (np.nextafter(1, 0), 3), (1.0, 3)):
        assert pick(p, np.array([uniform])).tolist() == [token], uniform
