"""Held-out documents as rows, on wheels made here."""

import zipfile

import numpy as np
import pytest

from scalebound.corpus import documents, heldout, tokenizer
from scalebound.errors import InputError


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
