"""`config/pythia.yaml` on a hub of the test's own: tiny models in Pythia's layout, everything else as it is."""

import json
import os

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hub_server import HubServer
from released_models import ROW_TOKENS, ROWS_PER_STEP, checkpoint_files, stream_files
from workspace import Workspace

from scalebound.artifacts.family_tables import ONLINE_TERMS

CONFIG = "config/pythia.yaml"
HEADER = "slug\tfamily\tsource\trepo\trevision\tstep\ttokens_seen\tstream\tnote\n"
PREDICTIONS = ROWS_PER_STEP * (ROW_TOKENS - 1)
STANDARD, DEDUPED = "EleutherAI/pythia-70m", "EleutherAI/pythia-160m-deduped"
# two steps are what they should be, and the earlier one, which is there as a reference alone, is not
LATER_REFERENCE, NO_REFERENCE = "EleutherAI/pythia-410m", "EleutherAI/pythia-1b"
REFERENCE = "eleutherai--pythia-70m-step1"


# of the rows of the second model's first step, those that were read for the first time
FIRST_PASS = 600


def row(slug, repo, step, stream, family="pythia"):
    seen = FIRST_PASS * (ROW_TOKENS - 1) if stream == "pile-deduped" else step * PREDICTIONS
    return f"{slug}\t{family}\thub\t{repo}\tstep{step}\t{step}\t{seen}\t{stream}\t\n"


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A hub with two models, of several steps each, and the two streams; and the tokens of the streams."""
    folder = tmp_path_factory.mktemp("released")
    with HubServer() as hub:
        seeds = {"step0": 1, "step1": 1, "step2": 2, "step4": 3, "main": 3}
        made = {seed: checkpoint_files(folder / f"sharded{seed}", seed) for seed in (1, 2, 3)}
        # a wrong upload beside the right ones: the last step's weights under the name of an earlier one
        hub.add_model(STANDARD, {name: made[seed] for name, seed in seeds.items()} | {"step3": made[3]})
        hub.add_model(LATER_REFERENCE, {"step1": made[3], "step2": made[2], "main": made[3]})
        hub.add_model(NO_REFERENCE, {"step2": made[2], "main": made[3]})
        made = {seed: checkpoint_files(folder / f"bin{seed}", 10 + seed, "bin") for seed in (1, 2)}
        hub.add_model(DEDUPED, {"step1": made[1], "main": made[2]})
        tokens = {}
        for name, repo, rows, seed in (
            ("standard", "EleutherAI/pile-standard-pythia-preshuffled", 4 * ROWS_PER_STEP, 5),
            ("deduped", "EleutherAI/pile-deduped-pythia-preshuffled", 2 * ROWS_PER_STEP, 6),
        ):
            files, tokens[name] = stream_files(rows, seed)
            hub.add_dataset(repo, {"main": files})
        yield hub, tokens


def prepare(workspace, table, certified=""):
    """The presets' table, commits and numbers of windows, replaced by those that the test's hub has."""
    workspace.path("config/pythia.tsv").write_text(HEADER + table)
    standard = "revision: {}\n    row_tokens: 2049\n    rows_per_step: 1024\n    vocab_size: 50277\n    unbiased: true"
    for old, new in (
        (standard.format("bac79b6820adb34e451f9a02cc1dc7cd920febf0"), standard.format("main")),
        ("revision: 4647773ea142ab1ff5694602fa104bbf49088408", "revision: main"),
        ("first_pass_rows: 100352000", f"first_pass_rows: {FIRST_PASS}"),
        ("score: {windows: 10000", "score: {windows: 12"),
        ("certify: {windows: 10000", "certify: {windows: 24"),
        ("tuning: {windows: 33000", "tuning: {windows: 2"),
        ("windows: 128", "windows: 2"),
        ("share_of_training: 0.008, batch_rows: 8", f"share_of_training: {4 / (2 * ROWS_PER_STEP)}, batch_rows: 2"),
        ("checkpoints: [pythia-70m, pythia-160m, pythia-410m]", f"checkpoints: [{certified}]"),
    ):
        workspace.edit(CONFIG, old, new)


def run(workspace, endpoint, home, *arguments, **more):
    own = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_OFFLINE": "0"}
    return workspace.snakemake(*arguments, config=CONFIG, env=os.environ | own | more)


@pytest.fixture(scope="module")
def paper_run(released, tmp_path_factory):
    """The preset, run to its end; the hub goes away as soon as everything has been fetched."""
    hub, tokens = released
    folder = tmp_path_factory.mktemp("paper")
    workspace = Workspace.create(folder / "workspace")
    prepare(workspace, row("pythia-70m", STANDARD, 2, "pile-standard") + row("pythia-160m", DEDUPED, 1, "pile-deduped"), certified="pythia-70m")
    planned = run(workspace, hub.endpoint, folder / "home", "--quiet", "all", "--", "paper_plan")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    hub.clear()
    fetched = run(workspace, hub.endpoint, folder / "home", "--until", "fetch", "sample")
    assert fetched.returncode == 0, fetched.stdout + fetched.stderr
    traffic = {name: hub.body_bytes(f"{name}-pythia-preshuffled.*[.]bin") for name in tokens}
    done = run(workspace, "http://127.0.0.1:9", folder / "home")
    assert done.returncode == 0, done.stdout + done.stderr
    workspace.env = os.environ | {"HF_HOME": str(folder / "home")}
    workspace.planned, workspace.traffic, workspace.tokens = planned.stdout + planned.stderr, traffic, tokens
    return workspace


def test_everything_after_fetching_ran_without_the_hub(paper_run):
    table = pd.read_csv(paper_run.path("results/pythia/bounds.csv"))
    assert sorted(zip(table["checkpoint"], table["quantizer"])) == [("pythia-160m", "gptq-4"), ("pythia-70m", "coded"), ("pythia-70m", "gptq-4")]
    assert set(table["sampling"]) == {"unbiased"}
    assert (table["vocab_size"] == 50304).all()
    assert table.set_index("checkpoint")["n_tokens"].to_dict() == {"pythia-70m": 2 * PREDICTIONS, "pythia-160m": FIRST_PASS * (ROW_TOKENS - 1)}
    assert np.isfinite(table[["paper_bound", "freedman_bound", "azuma_bound"]]).all(axis=None)
    # weights drawn at random predict nothing
    assert table["train_loss"].between(np.log(50304) - 0.5, np.log(50304) + 0.5).all()


def test_an_earlier_step_is_the_reference_of_rows_that_it_had_not_seen(paper_run, released):
    hub, _ = released
    history = json.loads(paper_run.path("results/pythia/pythia-70m/resolve/history.json").read_text())
    (reference,) = history["references"]
    assert (reference["step"], reference["first_row"], history["averages"]) == (1, ROWS_PER_STEP, {})
    assert reference["hub"]["commit"] == hub.repos["models", STANDARD]["branches"]["step1"]
    assert paper_run.path(f"results/references/{REFERENCE}/fetch/fetched.json").exists()
    # the first step of the other model has none before it
    assert not paper_run.path("results/pythia/pythia-160m/resolve/history.json").exists()

    rows = pq.read_table(paper_run.path("results/pythia/pythia-70m/sample/score/windows.parquet"))["row"].to_numpy()
    scores = pq.read_table(paper_run.path("results/pythia/pythia-70m/quantizers/gptq-4/score/scores.parquet")).to_pandas()
    unseen = np.repeat(rows >= ROWS_PER_STEP, ROW_TOKENS - 1)
    assert 0 < unseen.mean() < 1
    np.testing.assert_array_equal(scores["reference"], unseen.astype(int))
    # uniform over the output entries before it, and its own losses from there on
    uniform = np.isclose(scores["reference_nll"], np.log(50304), atol=1e-6)
    assert uniform[~unseen].all()
    assert not uniform[unseen].all()


def test_bounds_are_online_where_there_is_a_reference(paper_run):
    table = pd.read_csv(paper_run.path("results/pythia/bounds.csv")).query("quantizer == 'gptq-4'").set_index("checkpoint")
    columns = ["online_bound", "online_bound_coded", *ONLINE_TERMS]
    assert np.isfinite(table.loc["pythia-70m", columns].astype(float)).all()
    assert table.loc["pythia-160m", columns].isna().all()
    # the halves of the bound are each above what they bound
    assert table.loc["pythia-70m", "reference_bound"] > table.loc["pythia-70m", "reference_loss"]
    assert table.loc["pythia-70m", "online_bound"] > table.loc["pythia-70m", "quantized_loss"]


def test_the_named_checkpoint_is_certified_beside_its_reference(paper_run):
    table = pd.read_csv(paper_run.path("results/pythia/certificates.csv"))
    assert table[["checkpoint", "quantizer", "method", "sampling"]].to_numpy().tolist() == [["pythia-70m", "coded", "online", "unbiased"]]
    assert (table["certificate"] > table["decoded_loss"]).all()
    assert not paper_run.path("results/pythia/pythia-160m/quantizers/coded").exists()
    report = json.loads(paper_run.path("results/pythia/pythia-70m/quantizers/coded/encode/code.json").read_text())
    assert report["tuned_tokens"] == 4 * (ROW_TOKENS - 1)


def test_its_certificate_can_be_verified(paper_run):
    done = paper_run.scalebound("verify", "results/pythia/pythia-70m/quantizers/coded/certificate", "--share", "0.1", env=paper_run.env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verified: " in done.stdout


def test_windows_are_rows_that_the_checkpoint_saw(paper_run):
    for slug, stream, first_time in (("pythia-70m", "standard", 2 * ROWS_PER_STEP), ("pythia-160m", "deduped", FIRST_PASS)):
        table = pq.read_table(paper_run.path(f"results/pythia/{slug}/sample/score/windows.parquet"))
        ids = table["row"].to_numpy()
        assert ids.max() < first_time
        np.testing.assert_array_equal(np.stack(table["tokens"].to_numpy(zero_copy_only=False)), paper_run.tokens[stream][ids])


def test_only_the_drawn_rows_were_transferred(paper_run):
    made = {"score", "calibration"}
    for slug, stream, names in (("pythia-70m", "standard", {*made, "tuning", "certify"}), ("pythia-160m", "deduped", made)):
        assert {path.name for path in paper_run.path(f"results/pythia/{slug}/sample").iterdir()} == names
        draws = [pq.read_table(paper_run.path(f"results/pythia/{slug}/sample/{draw}/windows.parquet"))["row"].to_numpy() for draw in sorted(names)]
        assert paper_run.traffic[stream] == sum(len(np.unique(ids)) for ids in draws) * 2 * ROW_TOKENS


def test_results_hold_identities_and_the_cache_the_weights(paper_run):
    fetched = json.loads(paper_run.path("results/pythia/pythia-160m/fetch/fetched.json").read_text())
    assert [file["name"] for file in fetched["files"]] == ["config.json", "pytorch_model.bin"]
    assert len(fetched["hub"]["commit"]) == 40
    assert not list(paper_run.path("results").rglob("pytorch_model.bin"))
    log = paper_run.path("results/pythia/pythia-160m/resolve/hub.log").read_text()
    assert "notice: no safetensors" in log


def test_the_comparison_fills_nothing_in(paper_run):
    table = pd.read_csv(paper_run.path("results/pythia/comparison.csv")).set_index("checkpoint")
    assert list(table.index) == [f"pythia-{size}" for size in ("70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b")]
    assert table.loc[["pythia-70m", "pythia-160m"], "status"].tolist() == ["compared"] * 2
    missing = table[table["status"] == "missing"]
    assert len(missing) == 5
    assert missing[["train_loss", "paper_bound", "azuma_bound", "paper_bound_difference"]].isna().all(axis=None)
    found = table.loc["pythia-70m"]
    assert found["paper_bound_difference"] == pytest.approx(found["paper_bound"] - 5.52)
    assert paper_run.path("results/pythia/figures/comparison.pdf").exists()


def test_the_audit_accepts_it(paper_run):
    done = paper_run.scalebound("audit", "results")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_plan_says_what_it_will_take(paper_run):
    for word in ("pythia-70m", "references", "download", "scored", "hours in all", "nothing"):
        assert word in paper_run.planned
    assert "Traceback" not in paper_run.planned


def test_a_second_run_does_nothing(paper_run):
    assert paper_run.pending(config=CONFIG) == []


@pytest.mark.parametrize("targets", [("--", "paper_plan"), ()])
def test_a_hub_that_does_not_answer_is_asked_once(workspace, tmp_path, targets):
    """One message and no job; the plan as far as it follows from the configuration."""
    done = run(workspace, "http://127.0.0.1:9", tmp_path / "home", *targets)
    text = done.stdout + done.stderr
    assert done.returncode == 1
    assert text.count("the hub does not answer") == 1
    assert "Traceback" not in text
    assert not workspace.path("results").exists()
    for fragment in ("pythia-12b", "239B", "sizes and hours of 8 of 8 checkpoints are not known"):
        assert (fragment in text) == bool(targets)


@pytest.mark.parametrize(
    ("repo", "step", "references", "fragments"),
    [
        (STANDARD, 3, 0, ["weight file(s) of step 3", "main", "wrong upload"]),
        (STANDARD, 8, 0, ["no such revision", "step4"]),
        (LATER_REFERENCE, 2, 12, [f"{LATER_REFERENCE} at step1", "main", "wrong upload"]),
        (NO_REFERENCE, 2, 12, [f"{NO_REFERENCE} at step1", "no such revision"]),
    ],
)
def test_a_branch_that_is_wrong_or_missing_ends_the_run(released, workspace, tmp_path, repo, step, references, fragments):
    hub, _ = released
    prepare(workspace, row("pythia-70m", repo, step, "pile-standard"))
    workspace.edit(
        CONFIG, "  pythia: {powers_of_two_to: 512, every: 1000, references: 12}", f"  pythia: {{powers_of_two_to: 512, every: 1000, references: {references}}}"
    )
    done = run(workspace, hub.endpoint, tmp_path / "home")
    text = done.stdout + done.stderr
    assert done.returncode != 0
    for fragment in fragments:
        assert fragment in text
    assert "Traceback" not in text
    assert not workspace.path("results/pythia/bounds.csv").exists()


def test_known_pairs_may_share_their_weights(released, workspace, tmp_path):
    """step0 is step1 in every size, and main the last step: neither is a wrong upload."""
    hub, _ = released
    prepare(workspace, row("pythia-70m", STANDARD, 1, "pile-standard"))
    target = "results/pythia/pythia-70m/resolve/hub.json"
    done = run(workspace, hub.endpoint, tmp_path / "home", target)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(workspace.path(target).read_text())["hub"]["commit"]
