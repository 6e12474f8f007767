"""Documents behind the shuffled rows of a stream."""

import numpy as np
import pytest

from scalebound.corpus.document_order import DocumentOrder
from scalebound.corpus.rows import Rows, row_order, write_shuffled_rows
from scalebound.corpus.tokenizer import END_OF_DOCUMENT_ID as END

ROW_TOKENS, SEED = 9, 4


@pytest.fixture
def documents():
    """Sixty documents of 0 to 40 tokens, without their ends."""
    rng = np.random.default_rng(0)
    return [rng.integers(1, 50, size=size).tolist() for size in [0, 8, 9, 17, *rng.integers(1, 41, size=56)]]


@pytest.fixture
def stream(documents, tmp_path):
    count = write_shuffled_rows([[*tokens, END] for tokens in documents], ROW_TOKENS, SEED, tmp_path / "tokens.bin")
    return Rows(tmp_path / "tokens.bin", count, ROW_TOKENS, 50)


def document_of_each_token(documents, count):
    """[rows, row_tokens] in the order of the stream, by walking through the documents."""
    numbers = np.array([number for number, tokens in enumerate(documents) for _ in [*tokens, END]])
    return numbers[: count * ROW_TOKENS].reshape(count, ROW_TOKENS)[row_order(count, SEED)]


def test_each_token_belongs_to_its_document(documents, stream):
    ids = [5, 0, len(stream) - 1, 5]
    np.testing.assert_array_equal(DocumentOrder(stream, SEED).numbers(ids), document_of_each_token(documents, len(stream))[ids])


def test_whole_documents_are_read_back_from_the_rows_and_no_other_seed_gives_them(documents, stream):
    order = DocumentOrder(stream, SEED)
    assert len(documents) - 3 <= order.whole <= len(documents)
    assert [order.tokens(number).tolist() for number in range(order.whole)] == documents[: order.whole]
    other = DocumentOrder(stream, SEED + 1)
    assert [other.tokens(number).tolist() for number in range(other.whole)] != documents[: other.whole]


def test_weights_give_the_mean_over_documents_of_the_means_of_what_was_seen(documents, stream):
    seen = len(stream) // 2
    numbers = document_of_each_token(documents, len(stream))[:seen, 1:]
    losses = np.random.default_rng(1).exponential(size=numbers.shape)
    weights, found = DocumentOrder(stream, SEED).weights(np.arange(seen), seen)
    means = [losses[numbers == number].mean() for number in np.unique(numbers)]
    assert found == len(means)
    assert weights.sum() == pytest.approx(found)
    assert np.average(losses, weights=weights) == pytest.approx(np.mean(means))


def test_weights_of_a_sample_are_those_of_its_rows(stream):
    order, ids = DocumentOrder(stream, SEED), np.array([7, 2, 7])
    every, count = order.weights(np.arange(len(stream)), len(stream))
    some, same = order.weights(ids, len(stream))
    np.testing.assert_array_equal(some, every[ids])
    assert same == count
