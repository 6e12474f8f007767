"""Documents, tokenizer and rows, on wheels made here."""

import io
import zipfile

import numpy as np
import pytest

from scalebound.corpus import documents, rows, tokenizer, wheels
from scalebound.errors import InputError


def make_wheel(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


@pytest.fixture
def wheel(tmp_path):
    files = {f"package/m{k}.py": f"def f{k}(x):\n    return x + {k}\n" * 20 for k in range(40)}
    return make_wheel(tmp_path / "a.whl", files | {"package/data.txt": "no source", "package/empty.py": ""})


def test_only_non_empty_sources_are_documents(wheel):
    found, _ = documents.list_documents([wheel])
    assert len(found) == 40


def test_the_stream_says_which_files_are_documents(tmp_path):
    path = make_wheel(tmp_path / "p.whl", {"a.py": "x = 1\n", "b.rst": "One.\n", "docs/c.txt": "Two.\n", "d.rst.orig": "Three.\n", "rst": "Four.\n"})
    rows, left_out = documents.list_documents([path], [".rst", ".txt"])
    assert [row["path"] for row in rows] == ["b.rst", "docs/c.txt"]
    assert left_out == {"duplicate": 0, "not UTF-8": 0}
    assert list(documents.read_texts(rows, tmp_path)) == ["One.\n", "Two.\n"]


def test_duplicates_and_undecodable_files_are_left_out_and_counted(tmp_path):
    path = make_wheel(tmp_path / "b.whl", {"a.py": "x = 1\n", "b.py": "x = 1\n", "c.py": b"\xff\xfe\xfa"})
    found, left_out = documents.list_documents([path])
    assert [row["path"] for row in found] == ["a.py"]
    assert left_out == {"duplicate": 1, "not UTF-8": 1}


def test_the_order_follows_from_the_seed_and_not_from_the_archive(wheel):
    found, _ = documents.list_documents([wheel])
    first = documents.order_and_split(found, 1, 0.1, 0.1)
    assert first == documents.order_and_split(found[::-1], 1, 0.1, 0.1)
    assert [r["sha256"] for r in first] != [r["sha256"] for r in documents.order_and_split(found, 2, 0.1, 0.1)]


def test_the_splits_are_disjoint_and_of_the_asked_sizes(wheel):
    found, _ = documents.list_documents([wheel])
    split = documents.order_and_split(found, 1, 0.25, 0.25)
    sizes = {name: sum(row["bytes"] for row in split if row["split"] == name) for name in documents.SPLITS}
    total = sum(sizes.values())
    assert sizes["tokenizer"] / total == pytest.approx(0.25, abs=0.05)
    assert sizes["heldout"] / total == pytest.approx(0.25, abs=0.05)


def test_a_damaged_wheel_is_named(tmp_path):
    (tmp_path / "c.whl").write_bytes(b"PK no archive")
    with pytest.raises(InputError, match=r"c\.whl: not a readable wheel"):
        list(wheels.documents(tmp_path / "c.whl", lambda name: True))


def test_a_source_that_unpacks_to_a_bomb_is_refused(tmp_path):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.py", b"0" * (wheels.MAX_DOCUMENT_BYTES + 1))
    (tmp_path / "d.whl").write_bytes(data.getvalue())
    with pytest.raises(InputError, match=r"bomb\.py is"):
        list(wheels.documents(tmp_path / "d.whl", lambda name: True))


def trained(size=270):
    return tokenizer.train(["def f(x):\n    return x + 1\n" * 50], size)


def test_the_tokenizer_is_lossless_and_closes_documents():
    made, text = trained(), "def g(é):\n\treturn '€'\n"
    (ids,) = tokenizer.encode_documents(made, [text])
    assert ids[-1] == tokenizer.END_OF_DOCUMENT_ID
    assert made.decode(ids[:-1]) == text


def test_the_end_of_document_spelt_in_a_document_is_plain_text():
    (ids,) = tokenizer.encode_documents(trained(), ["a = '<|endoftext|>'\n"])
    assert ids.count(tokenizer.END_OF_DOCUMENT_ID) == 1


def test_training_repeats_exactly():
    assert trained().to_str() == trained().to_str()


def test_too_little_text_for_the_vocabulary_is_an_error():
    with pytest.raises(InputError, match="entries instead of 5000"):
        tokenizer.train(["x"], 5000)


def shuffled(token_lists, seed, path, row_tokens=3):
    count = rows.write_shuffled_rows(token_lists, row_tokens, seed, path)
    found = np.fromfile(path, dtype="<u2").reshape(-1, row_tokens)
    assert len(found) == count
    return found


def test_rows_are_the_concatenated_documents_cut_evenly_in_the_order_of_the_seed(tmp_path):
    lists = [[1, 2, 3, 4], [5], list(range(6, 40)), [40]]  # 13 rows and a token that fills none
    found = shuffled(lists, 5, tmp_path / "tokens.bin")
    plain = np.arange(1, 40).reshape(13, 3)
    np.testing.assert_array_equal(found, plain[rows.row_order(13, 5)])
    assert sorted(found[:, 0]) == list(plain[:, 0])
    assert found.tolist() != plain.tolist()


def test_the_order_is_one_over_all_rows_and_not_over_those_that_a_run_sees():
    """The first tenth of the order comes from all of the text, in proportion."""
    first = rows.row_order(10_000, 3)[:1000]
    counts, _ = np.histogram(first, bins=10, range=(0, 10_000))
    assert counts.min() > 60
    assert counts.max() < 140


def test_another_seed_is_another_order_of_the_same_rows(tmp_path):
    one, other, again = (shuffled([range(300)], seed, tmp_path / "tokens.bin") for seed in (1, 2, 1))
    np.testing.assert_array_equal(one, again)
    assert one.tolist() != other.tolist()
    assert sorted(one.tolist()) == sorted(other.tolist())


def test_rows_of_more_than_one_piece_are_all_written(tmp_path):
    count = 2 * rows.ROWS_AT_ONCE + 3
    found = shuffled([np.arange(count * 3) % 60_000], 1, tmp_path / "tokens.bin")
    np.testing.assert_array_equal(found, (np.arange(count * 3) % 60_000).reshape(-1, 3)[rows.row_order(count, 1)])


def test_a_pin_must_be_that_of_the_file(tmp_path, capsys):
    path = tmp_path / "tokens.bin"
    path.write_bytes(b"rows")
    found, pinned = rows.check_pin(path, None, "tokens.bin")
    assert not pinned
    assert f"sha256: {found}" in capsys.readouterr().out
    assert rows.check_pin(path, found, "tokens.bin") == (found, True)
    with pytest.raises(InputError, match=f"tokens.bin: sha256 {found}, pinned {'0' * 64}"):
        rows.check_pin(path, "0" * 64, "tokens.bin")


def test_too_few_tokens_is_an_error(tmp_path):
    with pytest.raises(InputError, match="2 training tokens, a row takes 3"):
        rows.write_shuffled_rows([[1, 2]], 3, 1, tmp_path / "tokens.bin")
