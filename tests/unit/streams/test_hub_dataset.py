"""Rows from a text data set: row groups by range, the checkpoint's own tokenizer, rows as training frameworks cut them."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from scalebound.corpus.tokenizer import train
from scalebound.errors import InputError
from scalebound.streams import hub_dataset
from scalebound.streams.protocol import Stream, open_stream

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


def test_row_groups_of_all_files(hub, resolved):
    assert [(file["path"], file["documents"]) for file in resolved["files"]] == [("data/train-0.parquet", [50] * 8), ("data/train-1.parquet", [50] * 4)]


def test_rows_are_those_of_training(hub, waits, resolved, tokenizer):
    stream = open_stream(
        "hub_dataset", resolved=resolved, tokenizer=tokenizer, eod=EOD, row_tokens=16, vocab_size=VOCAB, groups=3, seed=1, patience=waits.patience
    )
    assert isinstance(stream, Stream)
    assert stream.unbiased is False
    drawn = hub_dataset.draw_groups(resolved, 3, 1)
    encode, rows = hub_dataset.load_tokenizer(tokenizer), []
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
    ids = hub_dataset.load_tokenizer(tokenizer)(texts)
    assert hub_dataset.load_tokenizer(tokenizer.parent)(texts) == ids
    assert EOD not in ids[-1]


def test_tokenizers_in_the_form_of_gpt_2(tokenizer, tmp_path):
    """Cerebras-GPT has vocab.json and merges.txt."""
    place = tmp_path / "gpt2"
    place.mkdir()
    Tokenizer.from_file(str(tokenizer)).model.save(str(place))
    (place / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))
    (place / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    assert hub_dataset.load_tokenizer(place)(TEXTS[:20]) == hub_dataset.load_tokenizer(tokenizer)(TEXTS[:20])


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
    rows = hub_dataset.cut_rows([[1, 2, 3], [4], [5, 6, 7, 8]], 0, 4)
    assert rows.tolist() == [[1, 2, 3, 0], [0, 4, 0, 5], [5, 6, 7, 8]]
    assert hub_dataset.cut_rows([], 0, 4).shape == (0, 4)


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
        hub_dataset.load_tokenizer(tmp_path / "empty")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(InputError, match=r"not a tokenizer"):
        hub_dataset.load_tokenizer(tmp_path / "bad.json")


def test_the_tokenizer_of_a_checkpoint_on_the_hub(hub, waits, tokenizer):
    hub.add_model("org/model", {"main": tokenizer.parent, "none": {"config.json": b"{}"}})
    found = hub_dataset.resolve_tokenizer("org/model", "main", waits.patience)
    assert [file["path"] for file in found["files"]] == ["tokenizer.json"]
    hub.fault("GET .*tokenizer.json", "flip")
    place = hub_dataset.fetch_tokenizer(found, waits.patience)
    encode = hub_dataset.load_tokenizer(f"{place}/tokenizer.json")
    assert encode(TEXTS[:3]) == hub_dataset.load_tokenizer(tokenizer)(TEXTS[:3])
    with pytest.raises(InputError, match=r"no tokenizer in it"):
        hub_dataset.resolve_tokenizer("org/model", "none", waits.patience)
