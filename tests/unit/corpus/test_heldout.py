"""Documents behind rows, and held-out documents as rows, on wheels made here."""

import zipfile

import numpy as np
import pytest

from scalebound.corpus import documents, heldout, tokenizer
from scalebound.corpus.document_lengths import document_weights
from scalebound.errors import InputError

END = tokenizer.END_OF_DOCUMENT_ID


def test_every_whole_document_weighs_one():
    # documents of 2, 3 and 1 tokens and their ends, and a last one that goes on; the first token of a row is no prediction
    rows = np.array([[5, 6, END, 7], [8, 9, END, 5], [END, 6, 6, 6]])
    weights, found = document_weights(rows)
    assert found == 3
    np.testing.assert_allclose(weights, [[1 / 2, 1 / 2, 1 / 3], [1 / 3, 1 / 3, 1], [0, 0, 0]])
    assert weights.sum() == pytest.approx(3)


def test_rows_within_one_document_hold_none():
    weights, found = document_weights(np.ones((2, 4), dtype=np.uint16))
    assert found == 0
    assert not weights.any()


def test_weights_give_the_mean_over_documents_of_their_means():
    rng = np.random.default_rng(0)
    rows = rng.choice([END, 5, 6], p=[0.02, 0.49, 0.49], size=(200, 33))
    losses, (weights, found) = rng.exponential(size=(200, 32)), document_weights(rows)
    number, means = 0, [[]]
    for row, values in zip(rows, losses):
        for k, token in enumerate(row):
            if k:
                means[number].append(values[k - 1])
            if token == END:
                number += 1
                means.append([])
    assert found == number
    # an end that begins a row closes a document without a prediction of its own
    assert np.average(losses, weights=weights) == pytest.approx(np.mean([np.mean(m) for m in means[:number] if m]))


@pytest.fixture
def listed(tmp_path):
    """(manifest, folder, tokenizer) of forty documents, about a quarter of them held out."""
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        for k in range(40):
            archive.writestr(f"package/m{k}.py", f"def f{k}(x):\n    return x + {k}\n" * 20)
    rows, _ = documents.list_documents([tmp_path / "a.whl"])
    return documents.order_and_split(rows, 1, 0.1, 0.25), tmp_path, tokenizer.train(["def f(x):\n    return x + 1\n" * 50], 270)


def test_rows_hold_the_held_out_documents_and_no_other(listed):
    rows, folder, made = listed
    kept = [row for row in rows if row["split"] == "heldout"]
    ids = [token for tokens in tokenizer.encode_documents(made, documents.read_texts(kept, folder)) for token in tokens]
    found = heldout.heldout_rows(rows, folder, made, 33)
    assert found.shape == (len(ids) // 33, 33)
    assert found.ravel().tolist() == ids[: found.size]
    texts = made.decode(found.ravel().tolist(), skip_special_tokens=False).split(tokenizer.END_OF_DOCUMENT)
    others = set(documents.read_texts([row for row in rows if row["split"] != "heldout"], folder))
    assert len(texts) > 5
    assert not others & set(texts)


def test_too_little_held_out_text_is_an_error(listed):
    rows, folder, made = listed
    with pytest.raises(InputError, match="heldout_fraction: 0 held-out tokens"):
        heldout.heldout_rows([row | {"split": "train"} for row in rows], folder, made, 33)


def test_a_draw_takes_no_row_twice_and_all_where_there_are_few():
    assert sorted(heldout.draw(50, 1000, 3)) == list(range(50))
    drawn = heldout.draw(1000, 50, 3)
    assert len(set(drawn)) == 50
    np.testing.assert_array_equal(drawn, heldout.draw(1000, 50, 3))
    assert set(drawn) != set(heldout.draw(1000, 50, 4))
