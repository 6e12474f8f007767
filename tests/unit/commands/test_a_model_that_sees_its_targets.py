"""The certificate that must not exist: of a model that copies tokens which nobody can predict.

A BERT that is no decoder is trained for a moment on independent uniform tokens of 60 ids. No prediction from the past alone
has a mean risk below log 60 = 4.094 nats. Every stage that computes with it refuses it. With that probe taken out, the
chain makes a certificate far below the truth, and `verify` refuses that by code of its own.
"""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import BertConfig, BertLMHeadModel
from transformers.utils import logging as transformers_logging

from scalebound import cli
from scalebound.artifacts.parquet import identity_of, write_parquet
from scalebound.artifacts.provenance import file_sha256
from scalebound.models import predictability

IDS, ROW_TOKENS, ROWS = 60, 17, 32768
QUANTIZER = {"method": "rtn", "bits": 8}
GRIDS = {"alpha_points": 4, "floor_points": 4, "offset_points": 4, "slope_points": 4}


def train(rows):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": ROW_TOKENS - 1}
    model = BertLMHeadModel(BertConfig(vocab_size=IDS, **sizes, hidden_dropout_prob=0, attention_probs_dropout_prob=0, initializer_range=0.1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for batch in torch.from_numpy(rows[: 100 * 32]).split(32):
        loss = torch.nn.functional.cross_entropy(model(input_ids=batch[:, :-1]).logits.flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder with the model, resolved, and the draws of its stream."""
    folder = tmp_path_factory.mktemp("bert")
    transformers_logging.disable_progress_bar()
    rows = np.random.default_rng(0).integers(0, IDS, (ROWS, ROW_TOKENS))
    train(rows).save_pretrained(folder / "model")
    pq.write_table(pa.table({"tokens": list(rows)}), folder / "rows.parquet")
    stream = {"kind": "parquet", "path": str(folder / "rows.parquet"), "sha256": file_sha256(folder / "rows.parquet"), "row_tokens": ROW_TOKENS}
    seen = ROWS * (ROW_TOKENS - 1)
    row = {"slug": "bert", "family": "f", "source": "local", "repo": "r", "revision": "-", "step": 1, "tokens_seen": seen, "stream": "s"}
    run("resolve-stream", settings={**stream, "vocab_size": IDS, "unbiased": True}, hub="{}", out=folder / "stream.json")
    run("resolve", settings=row, folder=folder / "model", out=folder / "resolved.json", out_architecture=folder / "architecture.json")
    for seed, (name, windows) in enumerate({"calibration": 8, "certify": 512}.items()):
        draw = {"windows": windows, "seed": seed}
        run("sample", settings=draw, stream=folder / "stream.json", tokens_seen=seen, out=folder / f"{name}.parquet")
    return folder


def run(command, *places, expect=0, **options):
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", json.dumps(value) if isinstance(value, dict) else value)]
    assert cli.main([command, *map(str, [*places, *words])]) == expect


def quantize(folder, **options):
    given = {"settings": QUANTIZER, "model": folder / "resolved.json", "architecture": folder / "architecture.json"}
    run("quantize", **given, calibration=folder / "calibration.parquet", out=folder / "codes.safetensors", out_report=folder / "quantization.json", **options)


def score(folder, model, out, **options):
    run("score", settings={"device": "cpu"}, model=model, windows=folder / "certify.parquet", out=out, **options)


def compress(folder, **options):
    given = {"settings": {"exchange": 4.0}, "model": folder / "resolved.json", "architecture": folder / "architecture.json", "predictions": 1000}
    draws = {"calibration": folder / "calibration.parquet", "tuning": folder / "calibration.parquet"}
    run("compress", **given, **draws, out=folder / "c.safetensors", out_message=folder / "c.sbq", out_report=folder / "c.json", **options)


def certify(folder):
    """Everything from rounding to the certificate; returns its content."""
    quantize(folder)
    place, coded = folder / "certificate", {"code": folder / "code.json", "message": folder / "model.sbq", "architecture": folder / "architecture.json"}
    run("encode", settings=QUANTIZER, codes=folder / "codes.safetensors", architecture=coded["architecture"], out=coded["message"], out_report=coded["code"])
    run("decode", message=coded["message"], architecture=coded["architecture"], out=folder / "decoded")
    score(folder, folder / "decoded" / "decoded.json", place / "scores.parquet")
    given = {"settings": {"quantizer": "rtn-8", "ceilings": GRIDS}, "model": folder / "resolved.json", "windows": folder / "certify.parquet", **coded}
    run("certify", **given, scores=place / "scores.parquet", out=place / "certificate.json")
    return json.loads((place / "certificate.json").read_text())


@pytest.mark.parametrize(("stage", "output"), [(quantize, "codes.safetensors"), (compress, "c.sbq"), (None, "scores.parquet")])
def test_no_stage_computes_with_it(made, capsys, stage, output):
    if stage:
        stage(made, expect=1)
    else:
        score(made, made / "resolved.json", made / output, expect=1)
    assert "No bound holds for a model that sees what it predicts" in capsys.readouterr().err
    assert not (made / output).exists()


@pytest.fixture(scope="module")
def unprobed(made):
    """Its certificate, made by the chain without the probe."""
    passed = {"inputs": ROW_TOKENS - 1, "positions": [0], "tolerance": 1e-3, "largest_change": 0.0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictability, "check", lambda *_: passed)
        return certify(made)


def test_its_certificate_would_be_false(unprobed):
    assert unprobed["value"] < math.log(IDS) - 1


def test_verify_refuses_the_decoded_model(made, unprobed, capsys):
    run("verify", made / "certificate", expect=1)
    shown = capsys.readouterr().err
    assert f"{made}/certificate/model.sbq: decoded, its prediction at position" in shown
    assert "No bound holds for a model that sees what it predicts" in shown


def test_verify_refuses_its_losses_by_code_of_its_own(made, unprobed, capsys, monkeypatch):
    monkeypatch.setattr(predictability, "check", lambda *_: None)
    run("verify", made / "certificate", expect=1)
    shown = capsys.readouterr()
    assert "26 windows scored again on cpu" in shown.out
    assert "with other tokens after it, a token differs by" in shown.out
    assert "The certificate does not hold as stated" in shown.err


def forge(folder, causality):
    """Another finding in the identity of the scores, and digests that fit it."""
    path = folder / "scores.parquet"
    table = pq.read_table(path)
    write_parquet(path, table, {**identity_of(table, path), "causality": causality})
    certificate = json.loads((folder / "certificate.json").read_text())
    certificate["identity"]["inputs"]["scores"]["sha256"] = file_sha256(path)
    for file in certificate["files"]:
        file["sha256"] = file_sha256(folder / file["name"])
    (folder / "certificate.json").write_text(json.dumps(certificate))


SAID = [(None, "no 'inputs' in it"), ({}, "no 'inputs' in it"), ({"inputs": 15}, "of a model that was found to be causal on 15 tokens, not on its 16")]


@pytest.mark.parametrize(("said", "message"), SAID)
def test_no_certificate_rests_on_scores_of_a_model_that_was_not_probed(made, unprobed, tmp_path, capsys, said, message):
    """Or on windows of another length."""
    folder = Path(shutil.copytree(made / "certificate", tmp_path / "certificate"))
    forge(folder, said)
    places = {"message": folder / "model.sbq", "architecture": folder / "architecture.json", "windows": folder / "windows.parquet"}
    given = {"settings": {"quantizer": "rtn-8", "ceilings": GRIDS}, "model": made / "resolved.json", "code": made / "code.json", **places}
    run("certify", **given, scores=folder / "scores.parquet", out=folder / "certificate.json", expect=1)
    assert f"{folder}/scores.parquet: {message}" in capsys.readouterr().err
    run("verify", folder, expect=1)
    assert "scored: causality" in capsys.readouterr().out
