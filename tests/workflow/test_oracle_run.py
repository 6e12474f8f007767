"""Certificates against the truth, from end to end: a model of the smoke preset writes a stream, two models are trained on it.

One of them sees 40 rows 60 times and learns them by heart. The commands are those of the rules, as a dry run prints them,
run in one process: their imports take longer than their work.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from scalebound.artifacts.provenance import file_sha256
from scalebound.artifacts.scores import read_pair_scores, read_scores
from scalebound.audit.page.page import write_page
from scalebound.audit.run import audit
from scalebound.bounds.ceilings import Grids, grids_of
from scalebound.bounds.certificate import CertificateSettings, certify
from scalebound.bounds.evaluation import evaluate_online
from scalebound.plan.plan import Plan

PRESET, CONFIG, TABLE = Path(__file__).with_name("oracle.yaml"), "config/truth.yaml", "config/truth.tsv"
ROWS = """slug	family	source	repo	revision	step	tokens_seen	stream
once	truth	trained	once	step60	60	30720	written
again	truth	trained	again	step300	300	2560	written
"""
CERTIFIED = {slug: f"results/truth/{slug}/quantizers/rtn-4/certificate" for slug in ("once", "again")}
RUNNER = """
import json, sys
from scalebound import cli
for words in json.loads(sys.argv[1]):
    if cli.main(words) != 0:
        sys.exit(f"failed: {words}")
"""


def merged(base, changes):
    return {**base, **{k: merged(base[k], v) if isinstance(v, dict) and isinstance(base.get(k), dict) else v for k, v in changes.items()}}


def commands_of(workspace):
    """The words of every command of a dry run, inputs before what is made from them."""
    done = workspace.snakemake("--dry-run", "--printshellcmds", "--quiet", "host", config=CONFIG)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.partition("Shell command: ")[2] for line in (done.stdout + done.stderr).splitlines()]
    return [shlex.split(line.partition(" 2>&1")[0])[3:] for line in lines if line.startswith("python -m scalebound")]


@pytest.fixture(scope="module")
def truth(finished, tmp_path_factory):
    workspace = finished.copy(tmp_path_factory.mktemp("oracle") / "workspace")
    smoke = yaml.safe_load(workspace.path("config/smoke.yaml").read_text())
    workspace.path(CONFIG).write_text(yaml.safe_dump(merged(smoke, yaml.safe_load(PRESET.read_text()))))
    workspace.path(TABLE).write_text(ROWS)
    commands = commands_of(workspace)
    assert {"generate", "train", "certify", "true-risk", "certificates", "figures"} <= {words[0] for words in commands}
    environment = os.environ | {"PYTHONPATH": str(workspace.path("workflow")), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", RUNNER, json.dumps(commands)]
    done = subprocess.run(command, cwd=workspace.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return workspace


@pytest.fixture(scope="module")
def table(truth):
    return pd.read_csv(truth.path("results/truth/certificates.csv")).set_index("checkpoint")


def risk_of(workspace, slug):
    return json.loads(workspace.path(CERTIFIED[slug], "true_risk.json").read_text())


def test_no_certificate_lies_below_the_truth(truth, table):
    assert sorted(table.index) == ["again", "once"]
    assert (table["certificate"] >= table["true_risk"]).all()
    for slug, row in table.iterrows():
        risk = risk_of(truth, slug)
        assert row["true_risk"] == pytest.approx(risk["means"]["smoothed_risk"], rel=1e-9)
        assert risk["margin"] == risk["certificate"] - risk["value"] > 0
        assert [(other["method"], other["from"]) for other in risk["also"]] == [("online", 0.5), ("geometric", 0.0)]
        assert all(other["margin"] == other["certificate"] - other["value"] > 0 for other in risk["also"])
    assert set(table["method"]) == {"online"}


def test_the_member_of_many_epochs_has_learned_its_rows_by_heart(truth, table):
    assert table.loc["again", "trained_risk"] > table.loc["again", "train_loss"] + 2
    assert table.loc["once", "trained_risk"] < table.loc["once", "train_loss"] + 0.1
    assert risk_of(truth, "again")["rows"] == 40
    assert table.loc["again", "n_tokens"] == 40 * 64


def test_a_bound_that_pays_for_nothing_falls_below_the_truth(truth, table):
    """Of the member of many epochs, at the same smoothing: a code of 0 bits, and the sample mean for its confidence bound."""
    risk, (nll, entropy, _) = risk_of(truth, "again"), read_scores(truth.path(CERTIFIED["again"], "scores.parquet"))
    settings = CertificateSettings(grids=Grids(alpha_points=1, alpha_min=risk["alpha"], alpha_max=risk["alpha"]))
    found = certify(nll, entropy, 300, 40 * 64, 0, settings)["estimate"]["best"]["value"]
    assert found < table.loc["again", "true_risk"] - 0.1


def test_an_online_bound_that_pays_for_nothing_falls_below_the_truth(truth, table):
    """References or not: with a code of 0 bits, what is left is the loss of a member that knows its rows by heart."""
    pairs, _, _, _ = read_pair_scores(truth.path(CERTIFIED["again"], "scores.parquet"), 300)
    grids = grids_of("online", {"alpha_points": 2, "alpha_min": 0.02, "alpha_max": 0.04})
    found = evaluate_online(pairs, 40 * 64, 0, 0.01, grids)
    paid = evaluate_online(pairs, 40 * 64, json.loads(truth.path(CERTIFIED["again"], "certificate.json").read_text())["code_length_bits"], 0.01, grids)
    assert found["bound"] < table.loc["again", "true_risk"] - 0.1
    assert paid["bound"] > table.loc["again", "true_risk"]


def test_the_risk_is_at_least_the_oracles_entropy(truth):
    for slug in CERTIFIED:
        means = risk_of(truth, slug)["means"]
        assert means["entropy"] < min(means[name] for name in ("trained_risk", "decoded_risk", "smoothed_risk"))
        assert abs(means["oracle_loss"] - means["entropy"]) < 5 * means["oracle_standard_error"]


def test_windows_of_many_epochs_are_drawn_from_the_distinct_rows(truth):
    windows = truth.path("results/truth/again/sample/certify/windows.parquet")
    rows = pd.read_parquet(windows)["row"]
    assert set(rows) <= set(range(40))
    assert len(set(rows)) > 30


def test_losses_count_distinct_predictions(truth):
    losses = pd.read_parquet(truth.path("results/training/again/loss.parquet"))
    assert losses["tokens_seen"].tolist() == [min(8 * 64 * step, 2560) for step in range(1, 301)]


def test_the_rules_make_exactly_what_the_audit_expects(truth):
    done = truth.snakemake("--summary", config=CONFIG)
    made = {line.split("\t")[0] for line in done.stdout.splitlines()[1:] if line.startswith("results/")}
    jobs = Plan.from_results(truth.path("results/truth/config.json")).jobs_of("truth")
    assert made == {name for job in jobs for name in (*job.outputs, job.record)}


def test_the_audit_finds_nothing(truth):
    assert audit(truth.path("results"), workers=1).findings == []


def test_the_page_shows_a_stream_that_a_model_wrote(truth, tmp_path):
    """Its rows and who drew them, windows as text by the oracle's own tokenizer, and nothing that cannot be shown."""
    write_page(truth.path("results"), tmp_path / "audit.html")
    page = (tmp_path / "audit.html").read_text()
    assert 'class="problem"' not in page
    assert "step 120 of run smoke-13k, seed 3" in page
    assert 'id="streams/written/documents"' not in page
    assert 'id="streams/smoke-sources/documents"' in page


TAMPERED = ["results/streams/written/rows/tokens.bin", "results/streams/written/rows/stream.json", f"{CERTIFIED['again']}/true_risk.json"]


@pytest.mark.parametrize("name", TAMPERED)
def test_one_flipped_byte_is_named(truth, name):
    path = truth.path(name)
    before = path.read_bytes()
    data = bytearray(before)
    data[len(data) // 2] ^= 1
    try:
        path.write_bytes(data)
        assert name in {finding.path for finding in audit(truth.path("results"), workers=1, numbers=False).findings}
    finally:
        path.write_bytes(before)


def test_a_truth_made_smaller_is_named(truth, tmp_path):
    from scalebound.audit.checks import check_true_risk

    jobs = Plan.from_results(truth.path("results/truth/config.json")).jobs_of("truth")
    job = next(job for job in jobs if job.stage == "true-risk")
    path, folder = truth.path(*job.outputs), _Folder(truth)
    before = path.read_bytes()
    assert check_true_risk(job, folder) == []
    try:
        for change in (
            {"value": 0.1},
            {"certificate": 99.0},
            {"alpha": 0.9},
            {"means": json.loads(before)["means"] | {"trained_risk": 0.0}},
            _beside_altered(before),
        ):
            path.write_text(json.dumps(json.loads(before) | change))
            assert check_true_risk(job, folder), change
    finally:
        path.write_bytes(before)


def _beside_altered(content):
    """The truth of the statement beside a certificate, made smaller."""
    also = json.loads(content)["also"]
    return {"also": [also[0] | {"value": also[0]["value"] - 0.1}, *also[1:]]}


class _Folder:
    def __init__(self, workspace):
        self.path = workspace.path


def test_a_stream_of_another_oracle_is_refused(truth, tmp_path):
    """True risks are those of the oracle that wrote the stream and of no other."""
    oracle = tmp_path / "oracle"
    shutil.copytree(truth.path("results/training/smoke-13k/step100"), oracle)
    record = json.loads(truth.path(CERTIFIED["again"], "true_risk.run.json").read_text())
    words = [str(oracle) if word.endswith("smoke-13k/step120") else word for word in record["arguments"]]
    words = [str(tmp_path / word) if word.endswith(("true_risk.json", "run.json")) and "certificate/true_risk" in word else word for word in words]
    done = truth.scalebound("true-risk", *words)
    assert done.returncode == 1
    assert "Generate the stream again" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_pin_is_refused_and_the_right_one_accepted(truth, tmp_path):
    settings = yaml.safe_load(PRESET.read_text())["streams"]["written"]
    found = file_sha256(truth.path("results/streams/written/rows/tokens.bin"))
    for pin, status in ((found, 0), ("0" * 64, 1)):
        given = json.dumps(settings | {"sha256": pin})
        place = ["--out", tmp_path / str(status) / "tokens.bin", "--out-stream", tmp_path / str(status) / "stream.json"]
        done = truth.scalebound("generate", "--settings", given, "--oracle", "results/training/smoke-13k/step120", *place)
        assert done.returncode == status, done.stderr
    assert "pinned" in done.stderr
    # repeated in another process, bit for bit
    assert file_sha256(tmp_path / "0/tokens.bin") == found
    assert not (tmp_path / "1/tokens.bin").exists()


def test_figures_and_table_are_there(truth, table):
    assert np.isfinite(table[["true_risk", "trained_risk"]]).all(axis=None)
    assert truth.path("results/truth/figures/oracle.png").stat().st_size > 10_000
