"""Checkpoints and streams that the user brings: folders of safetensors, windows in a parquet file, rows in Megatron's format."""

import json
import struct
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from scalebound import cli
from scalebound.artifacts.parquet import identity_of
from scalebound.artifacts.provenance import file_sha256
from scalebound.audit.page.page import write_page
from scalebound.audit.run import audit
from scalebound.plan.plan import Plan

VOCABULARY, ROW_TOKENS, ROWS, ROWS_PER_STEP, STEP = 64, 17, 48, 4, 5
CONFIG = "config/local.yaml"
# the ordered rows were read again from here on: steps 4 and 5 saw nothing new
FIRST_PASS = 14
# folders as people have them
MODELS, DATA = "mes modèles [1]", "my data, a=b (2)"


def save_model(folder, seed):
    torch.manual_seed(seed)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 32}
    GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=VOCABULARY, **sizes)).save_pretrained(folder)


def split_in_two(folder):
    """The same weights as two shards with an index."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {}}
    for k, names in enumerate((sorted(tensors)[0::2], sorted(tensors)[1::2]), start=1):
        shard = f"model-{k:05d}-of-00002.safetensors"
        save_file({name: tensors[name] for name in names}, folder / shard, metadata={"format": "pt"})
        index["weight_map"] |= dict.fromkeys(names, shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def save_megatron(folder, tokens):
    """Two shards of one memory map, and the index of its rows."""
    folder.mkdir(parents=True)
    data, rows = tokens.astype("<u2").tobytes(), len(tokens)
    for k, piece in enumerate((data[:1001], data[1001:])):
        (folder / f"document-{k:05d}-of-00001.bin").write_bytes(piece)
    header = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 8, rows, rows + 1)
    lengths, places = np.full(rows, ROW_TOKENS, dtype="<i4"), 2 * ROW_TOKENS * np.arange(rows, dtype="<i8")
    (folder / "document.idx").write_bytes(header + lengths.tobytes() + places.tobytes() + np.arange(rows + 1, dtype="<i8").tobytes())


def leave_traces(*folders):
    """What a Mac and Windows leave on a shared disk: among it a second file to each, with another content and the same suffix."""
    for folder in folders:
        for name in [path.name for path in folder.iterdir()]:
            (folder / f"._{name}").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")
        for name in (".DS_Store", "Thumbs.db"):
            (folder / name).write_bytes(b"\x00")


def configure(workspace, tokens):
    """Two rows of source local: one in shards on windows of a parquet file, one folder with a single file on rows in training order."""
    data = workspace.path(DATA)
    data.mkdir()
    pq.write_table(pa.table({"tokens": list(tokens)}), data / "windows.parquet")
    save_megatron(data / "rows", tokens)
    for seed, name in enumerate(("single", "sharded")):
        save_model(workspace.path(MODELS, name), seed)
    split_in_two(workspace.path(MODELS, "sharded"))
    # of another program: not read, and in nobody's way
    save_file({"tok_embeddings.weight": torch.ones(2, 2)}, workspace.path(MODELS, "sharded/consolidated.safetensors"))
    leave_traces(data / "rows", workspace.path(MODELS, "single"), workspace.path(MODELS, "sharded"))
    shape = {"row_tokens": ROW_TOKENS, "vocab_size": VOCABULARY}
    settings = {
        "families": ["local", "ordered"],
        "checkpoints": "config/local.tsv",
        "streams": {
            "brought": {"kind": "parquet", "path": f"{DATA}/windows.parquet", "sha256": file_sha256(data / "windows.parquet"), "unbiased": False, **shape},
            "ordered": {"kind": "megatron", "folder": f"{DATA}/rows", "rows_per_step": ROWS_PER_STEP, "first_pass_rows": FIRST_PASS, "unbiased": True, **shape},
        },
        "sampling": {"score": {"windows": 32, "seed": 1}, "calibration": {"windows": 8, "seed": 2}},
        "quantize_with": ["rtn-4"],
        "certificate": {"quantizer": None, "untuned": None},
        "paper_quantizer": "rtn-4",
    }
    workspace.path(CONFIG).write_text(yaml.safe_dump(settings))
    seen = FIRST_PASS * (ROW_TOKENS - 1)
    rows = [("sharded", "local", "brought", 4000, "windows of my own"), ("single", "ordered", "ordered", seen, "")]
    lines = [f"{name}\t{family}\tlocal\t{MODELS}/{name}\t-\t{STEP}\t{n}\t{stream}\t{note}" for name, family, stream, n, note in rows]
    header = "slug\tfamily\tsource\trepo\trevision\tstep\ttokens_seen\tstream\tnote"
    workspace.path("config/local.tsv").write_text("\n".join([header, *lines]) + "\n")


@pytest.fixture(scope="module")
def tokens():
    return np.random.default_rng(0).integers(0, VOCABULARY, size=(ROWS, ROW_TOKENS))


@pytest.fixture(scope="module")
def local(tokens, new_workspace):
    configure(new_workspace, tokens)
    done = new_workspace.snakemake("results/local/bounds.csv", "results/local/config.json", config=CONFIG)
    assert done.returncode == 0, done.stdout + done.stderr
    return new_workspace


@pytest.fixture
def inside(local, monkeypatch):
    """The paths of the configuration are those of the workspace."""
    monkeypatch.chdir(local.folder)
    return local


@pytest.fixture
def ordered(local, tmp_path, monkeypatch):
    """The jobs of the row on ordered rows as its rules run them, but in this process, where torch is imported already, and in a copy: no target needs them."""
    inside = local.copy(tmp_path / "workspace")
    monkeypatch.chdir(inside.folder)
    common, own = (yaml.safe_load(inside.path(path).read_text()) for path in ("config/config.yaml", CONFIG))
    plan = Plan.from_configuration({**common, **own, "training": {}, "published": {}, "studies": {"run": []}})
    wildcards = SimpleNamespace(family="ordered", slug="single", draw="score", stream="ordered")
    for name in ("resolve_stream", "resolve", "sample", "score"):
        (rule,) = (rule for rule in plan.rules if rule.name == name)
        assert cli.main(rule.words(wildcards)) == 0
    return inside.path("results/ordered/single")


def test_a_stream_that_is_no_uniform_draw_makes_all_that_follows_approximate(local):
    (row,) = pd.read_csv(local.path("results/local/bounds.csv")).itertuples()
    assert (row.checkpoint, row.quantizer, row.kind, row.sampling) == ("sharded", "rtn-4", "estimate", "approximate")
    assert row.n_tokens == 4000
    assert np.isfinite([row.train_loss, row.paper_bound, row.geometric_bound]).all()


def test_windows_of_ordered_rows_are_those_that_the_checkpoint_saw(ordered, tokens):
    check_windows(ordered / "sample/score/windows.parquet", tokens, FIRST_PASS, "unbiased")


def test_windows_of_a_stream_without_an_order_are_of_all_of_it(local, tokens):
    check_windows(local.path("results/local/sharded/sample/score/windows.parquet"), tokens, ROWS, "approximate")


def check_windows(path, tokens, most, sampling):
    drawn = pq.read_table(path)
    assert identity_of(drawn, path)["sampling"] == sampling
    rows = drawn["row"].to_numpy()
    assert np.array_equal(np.stack(drawn["tokens"].to_numpy(zero_copy_only=False)), tokens[rows])
    assert rows.max() < most
    assert rows.max() >= most - most // 4


def test_losses_are_those_of_the_folder_s_model(local, ordered, tokens):
    """Of a single file and of shards: the loss of a window, computed here by transformers alone."""
    checkpoint = local.path("results/local/sharded")
    for name, drawn, scores in (
        ("sharded", checkpoint / "sample/score/windows.parquet", checkpoint / "score/scores.parquet"),
        ("single", ordered / "sample/score/windows.parquet", ordered / "score/scores.parquet"),
    ):
        model = GPTNeoXForCausalLM.from_pretrained(local.path(MODELS, name), use_safetensors=True, local_files_only=True).eval()
        window = torch.from_numpy(tokens[pq.read_table(drawn)["row"].to_numpy()[0]]).unsqueeze(0)
        with torch.no_grad():
            wanted = torch.nn.functional.cross_entropy(model(window[:, :-1]).logits[0].float(), window[0, 1:], reduction="none")
        table = pq.read_table(scores)
        assert table["nll"].to_numpy()[: ROW_TOKENS - 1] == pytest.approx(wanted.numpy(), abs=1e-5)
        found = identity_of(table, scores)["causality"]
        assert (found["inputs"], max(found["positions"])) == (ROW_TOKENS - 1, ROW_TOKENS - 3)
        assert found["largest_change"] < 1e-5


def test_only_what_is_read_is_an_input(local):
    inputs = json.loads(local.path("results/local/sharded/resolve/resolved.json").read_text())["identity"]["inputs"]
    shards = [f"model-0000{k}-of-00002.safetensors" for k in (1, 2)]
    assert {entry["path"] for entry in inputs.values()} == {f"{MODELS}/sharded/{name}" for name in ("config.json", "model.safetensors.index.json", *shards)}


def test_the_audit_finds_nothing_and_then_the_changed_weights(inside):
    outcome = audit(inside.path("results"), workers=1)
    # no figure was asked for
    assert [finding for finding in outcome.findings if "/figures/" not in finding.path] == []
    assert outcome.older == []
    path = inside.path(MODELS, "sharded/model-00001-of-00002.safetensors")
    before = path.read_bytes()
    try:
        path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        found = audit(inside.path("results"), workers=1, numbers=False).findings
        assert any(f"{MODELS}/sharded/model-00001-of-00002.safetensors" in f.expected + f.path for f in found)
    finally:
        path.write_bytes(before)


def test_the_audit_page_shows_checkpoint_and_stream_without_a_broken_link(inside, tmp_path):
    write_page(inside.path("results"), tmp_path / "audit.html")
    text = (tmp_path / "audit.html").read_text(encoding="utf-8")
    ids, links = [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            attributes = dict(attributes)
            ids.extend([attributes["id"]] if "id" in attributes else [])
            links.extend([attributes["href"].removeprefix("#")] if "href" in attributes else [])

    Reader().feed(text)
    assert set(links) <= set(ids)
    assert len(ids) == len(set(ids))
    assert "This cannot be shown" not in text
    for words in (f"{MODELS}/sharded", f"{DATA}/windows.parquet", "approximate", "windows of my own", "Stream brought"):
        assert words in text
    assert str(inside.folder) not in text


def test_a_stream_that_changed_is_refused(inside, tmp_path, capsys):
    """After its listing was written: nothing is drawn from other rows under the old name."""
    listing, path = "results/streams/brought/resolved.json", inside.path(DATA, "windows.parquet")
    arguments = ["--stream", listing, "--tokens-seen", "4000", "--settings", '{"windows": 4, "seed": 3}', "--out", str(tmp_path / "windows.parquet")]
    assert cli.main(["sample", *arguments]) == 0
    before = path.read_bytes()
    try:
        table = pq.read_table(path)
        pq.write_table(table.slice(1), path)
        assert cli.main(["sample", *arguments]) == 1
        assert "the configuration says" in capsys.readouterr().err
    finally:
        path.write_bytes(before)
