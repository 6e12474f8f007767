"""Rows from a text data set: row groups by range, the checkpoint's own tokenizer, rows as training frameworks cut them."""

import io
import json
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from scalebound.corpus.tokenizer import train
from scalebound.errors import InputError
from scalebound.streams import hub_dataset
from scalebound.streams.protocol import Stream, open_stream
from scalebound.streams.text_tokenizer import load_tokenizer

REPO, VOCAB, EOD = "org/texts", 300, 0
TEXTS = [f"document {k} says {'word ' * (k % 17)}{k}" for k in range(600)]


def parquet_of(texts, group):
    noise = np.random.default_rng(len(texts)).bytes(20_000)
    buffer = io.BytesIO()
    table = pa.table({"text": texts, "picture": [noise] * len(texts)})
    pq.write_table(table, buffer, row_group_size=group, use_dictionary=False, compression="none")
    return buffer.getvalue()


@pytest.fixture
def tokenizer(tmp_path):
    path = tmp_path / "checkpoint" / "tokenizer.json"
    path.parent.mkdir()
    train(TEXTS, VOCAB).save(str(path))
    return path


@pytest.fixture
def resolved(hub, waits):
    files = {"data/train-0.parquet": parquet_of(TEXTS[:400], 50), "data/train-1.parquet": parquet_of(TEXTS[400:], 50), "data/test.parquet": b"not read"}
    # where the real hub keeps its conversions to parquet
    commits = hub.add_dataset(REPO, {"main": {"data.json": b"{}"}, "refs/convert/parquet": files})
    found = hub_dataset.resolve_dataset(REPO, "refs/convert/parquet", files="data/train-*", patience=waits.patience)
    assert found["commit"] == commits["refs/convert/parquet"]
    hub.clear()
    return found


def encoded(place, texts):
    return [ids.tolist() for ids in load_tokenizer(place).encode(texts)]


def test_row_groups_of_all_files(hub, resolved):
    assert [(file["path"], file["documents"]) for file in resolved["files"]] == [("data/train-0.parquet", [50] * 8), ("data/train-1.parquet", [50] * 4)]


def test_rows_are_those_of_training(hub, waits, resolved, tokenizer):
    stream = open_stream(
        "hub_dataset", resolved=resolved, tokenizer=tokenizer, end_of_document=EOD, row_tokens=16, vocab_size=VOCAB, groups=3, seed=1, patience=waits.patience
    )
    assert isinstance(stream, Stream)
    assert stream.unbiased is False
    drawn = hub_dataset.draw_groups(resolved, 3, 1)
    encode, rows = load_tokenizer(tokenizer).encode, []
    for file, group in drawn:
        texts = TEXTS[400 * file + 50 * group :][:50]
        flat = [token for ids in encode(texts) for token in [*ids, EOD]]
        rows += [flat[k : k + 16] for k in range(0, len(flat) - 15, 15)]
    assert stream.rows == len(rows)
    assert stream.read(np.arange(len(rows))).tolist() == rows
    # each file is located once; the column of pictures, a hundred times as large, stays where it is
    assert hub.count("HEAD") == len({file for file, _ in drawn})
    assert hub.body_bytes("parquet") < 0.3 * sum(file["size"] for file in resolved["files"])


def test_folder_and_file_of_a_tokenizer_agree(tokenizer):
    # what a fetched checkpoint holds beside its weights
    (tokenizer.parent / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    texts = [*TEXTS[:20], "a document that spells <|endoftext|> itself"]
    ids = encoded(tokenizer, texts)
    assert encoded(tokenizer.parent, texts) == ids
    assert EOD not in ids[-1]


def test_tokenizers_in_the_form_of_gpt_2(tokenizer, tmp_path):
    """Cerebras-GPT has vocab.json and merges.txt."""
    place = tmp_path / "gpt2"
    place.mkdir()
    Tokenizer.from_file(str(tokenizer)).model.save(str(place))
    (place / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))
    (place / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    assert encoded(place, TEXTS[:20]) == encoded(tokenizer, TEXTS[:20])


def test_draws_are_uniform_and_only_the_seed_s(resolved):
    assert hub_dataset.draw_groups(resolved, 5, 7) == hub_dataset.draw_groups(resolved, 5, 7)
    counts = np.zeros(12)
    for seed in range(600):
        for file, group in hub_dataset.draw_groups(resolved, 4, seed):
            counts[8 * file + group] += 1
    assert np.abs(counts - 200).max() < 60
    with pytest.raises(InputError, match=r"13 row groups wanted of 12"):
        hub_dataset.draw_groups(resolved, 13, 1)


def test_cutting():
    tokens = hub_dataset.join_documents([[1, 2, 3], [4], [5, 6, 7, 8]], 0)
    assert hub_dataset.cut_rows(tokens, 4).tolist() == [[1, 2, 3, 0], [0, 4, 0, 5], [5, 6, 7, 8]]
    assert hub_dataset.join_documents([[1, 2], [], [3]], 0, begin=9).tolist() == [9, 1, 2, 0, 9, 0, 9, 3, 0]
    assert hub_dataset.cut_rows(hub_dataset.join_documents([], 0), 4).shape == (0, 4)


@pytest.mark.parametrize("kind", ["503", "429", "reset", "cut"])
def test_faults_pass(hub, waits, resolved, tokenizer, kind):
    hub.fault("GET .*parquet", kind, times=3)
    stream = hub_dataset.open_stream(resolved, tokenizer, EOD, 16, VOCAB, 2, 1, patience=waits.patience)
    assert len(waits) == 3
    hub.clear()
    assert (stream.read([0, 5]) == hub_dataset.open_stream(resolved, tokenizer, EOD, 16, VOCAB, 2, 1).read([0, 5])).all()


def test_data_sets_that_cannot_be_used(hub, waits, resolved, tokenizer, tmp_path):
    def resolve(**settings):
        return hub_dataset.resolve_dataset(REPO, "refs/convert/parquet", patience=waits.patience, **settings)

    with pytest.raises(InputError, match=r"0 parquet files match"):
        resolve(files="*.json")
    with pytest.raises(InputError, match=r"test.parquet: not a readable parquet file"):
        resolve(files="data/test*")
    with pytest.raises(InputError, match=r"no text in column 'content'. Its columns are text, picture"):
        resolve(files="data/train*", text_column="content")
    with pytest.raises(InputError, match=r"no text in column 'picture'"):
        resolve(files="data/train*", text_column="picture")
    with pytest.raises(InputError, match=r"token id .*, vocabulary size 100"):
        hub_dataset.open_stream(resolved, tokenizer, EOD, 16, 100, 2, 1, patience=waits.patience)
    with pytest.raises(InputError, match=r"shorter than one row"):
        hub_dataset.open_stream(resolved, tokenizer, EOD, 10**6, VOCAB, 1, 1, patience=waits.patience)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no tokenizer"):
        load_tokenizer(tmp_path / "empty")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(InputError, match=r"not a tokenizer"):
        load_tokenizer(tmp_path / "bad.json")


def test_bytes_that_are_no_text_are_one_message(hub, waits, tokenizer):
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": pa.array([b"fine", b"\xff\xfe"], type=pa.binary()).view(pa.string())}), buffer)
    hub.add_dataset("org/bytes", {"main": {"a.parquet": buffer.getvalue()}})
    found = hub_dataset.resolve_dataset("org/bytes", "main", patience=waits.patience)
    with pytest.raises(InputError, match=r"org/bytes: a.parquet: damaged \(.*UTF8"):
        hub_dataset.open_stream(found, tokenizer, EOD, 2, VOCAB, 1, 1, patience=waits.patience)


def test_the_tokenizer_of_a_checkpoint_on_the_hub(hub, waits, tokenizer):
    hub.add_model("org/model", {"main": tokenizer.parent, "none": {"config.json": b"{}"}})
    found = hub_dataset.resolve_tokenizer("org/model", "main", waits.patience)
    assert [file["path"] for file in found["files"]] == ["tokenizer.json"]
    hub.fault("GET .*tokenizer.json", "flip")
    place = hub_dataset.fetch_tokenizer(found, waits.patience)
    assert encoded(f"{place}/tokenizer.json", TEXTS[:3]) == encoded(tokenizer, TEXTS[:3])
    with pytest.raises(InputError, match=r"no tokenizer in it"):
        hub_dataset.resolve_tokenizer("org/model", "none", waits.patience)


def with_tokens_around(tokenizer, before=(), after=()):
    """The tokenizer as families such as Llama have theirs: it puts tokens of its own around each text."""
    loaded = Tokenizer.from_file(str(tokenizer))
    template = [*before, "$A", *after]
    loaded.post_processor = TemplateProcessing(single=template, special_tokens=[(token, loaded.token_to_id(token)) for token in {*before, *after}])
    loaded.save(str(tokenizer))
    (tokenizer.parent / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))


@pytest.mark.parametrize("form", ["file", "folder"])
@pytest.mark.parametrize(("before", "after"), [(["!"], []), (["!", "#"], []), ([], ["<|endoftext|>"]), (["!"], ["#"])])
def test_what_a_tokenizer_puts_around_a_text_is_known_and_left_out(tokenizer, form, before, after):
    plain = encoded(tokenizer, TEXTS[:5])
    with_tokens_around(tokenizer, before, after)
    id_of, place = Tokenizer.from_file(str(tokenizer)).token_to_id, tokenizer if form == "file" else tokenizer.parent
    assert [list(ids) for ids in load_tokenizer(place).around()] == [[id_of(token) for token in before], [id_of(token) for token in after]]
    assert encoded(place, TEXTS[:5]) == plain


def test_a_token_that_begins_documents_gets_a_notice_until_the_key_names_it(waits, resolved, tokenizer, capsys):
    def opened(**settings):
        stream = hub_dataset.open_stream(resolved, tokenizer, EOD, 16, VOCAB, 2, 1, patience=waits.patience, **settings)
        return stream.read(np.arange(stream.rows)), [line for line in capsys.readouterr().out.splitlines() if line.startswith("notice")]

    without, said = opened()
    assert said == []
    with_tokens_around(tokenizer, before=["!"])
    begin = Tokenizer.from_file(str(tokenizer)).token_to_id("!")
    rows, said = opened()
    assert (rows == without).all()
    assert said == [
        f"notice: the tokenizer begins a text with {begin}, begin_of_document says none, and so do the rows: set it to what the checkpoints were trained on"
    ]
    rows, said = opened(begin_of_document=begin)
    assert said == []
    # each document is one token longer, and begins with it behind the end of the one before
    flat = np.concatenate([rows[0], *rows[1:, 1:]])
    ends = np.flatnonzero(flat[:-1] == EOD)
    assert flat[0] == begin
    assert len(ends) > 50
    assert (flat[ends + 1] == begin).all()
    assert opened(begin_of_document=begin + 1)[1][0].startswith(f"notice: the tokenizer begins a text with {begin}, begin_of_document says {begin + 1}")
    with pytest.raises(InputError, match=f"token id {VOCAB}, vocabulary size {VOCAB}"):
        opened(begin_of_document=VOCAB)


def test_a_tokenizer_that_ends_texts_otherwise_gets_a_notice():
    assert list(hub_dataset.notices([], [7], None, 7)) == []
    assert list(hub_dataset.notices([], [7, 8], None, 7)) == ["the tokenizer ends a text with 7, 8, end_of_document says 7, and so do the rows"]


def test_batches_hold_every_text_once_whatever_their_size(monkeypatch):
    monkeypatch.setattr(hub_dataset, "TEXT_AT_ONCE", 100)
    texts = ["a" * 30, None, "é" * 40, "", *["b" * 20] * 9, "c" * 1000, "d"]
    for column in (pa.chunked_array([texts[:3], texts[3:]]), pa.chunked_array([pa.array(texts, type=pa.large_string())])):
        found = list(hub_dataset.batches(column))
        assert [text for batch in found for text in batch] == [text for text in texts if text]
        assert len(found) > 3
        assert all(sum(len(text.encode()) for text in batch[1:]) < 100 for batch in found)
    assert list(hub_dataset.batches(pa.chunked_array([[None, ""]]))) == []


def test_tokens_of_a_row_group_are_kept_as_narrow_numbers(resolved, tmp_path, monkeypatch):
    """Python's integers took 60 bytes a token and more; the bound is far above what arrays take, and far below that."""
    texts = [" ".join(f"{word} {k % 89}" for word in ("alpha", "beta", "gamma") for _ in range(100)) for k in range(400)]
    path = tmp_path / "tokenizer.json"
    train(texts, 280).save(str(path))
    monkeypatch.setattr(hub_dataset, "TEXT_AT_ONCE", 20_000)
    monkeypatch.setattr(hub_dataset, "_drawn_columns", lambda *_: iter([pa.chunked_array([texts])]))
    load_tokenizer(path)
    tracemalloc.start()
    try:
        stream = hub_dataset.open_stream(resolved, path, EOD, 65, 280, 1, 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert stream.rows * 64 > 200_000
    assert peak < 20 * stream.rows * 64
