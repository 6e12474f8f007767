"""The smoke preset, run for real: what it leaves behind, and that its numbers follow from its artifacts."""

import json
import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from safetensors.numpy import load_file

from scalebound.artifacts.run_records import add_up, costs_by_stage_and_checkpoint
from scalebound.artifacts.scores import read_scores
from scalebound.audit.run import audit
from scalebound.bounds.confidence import best_ceiling
from scalebound.corpus.document_order import DocumentOrder
from scalebound.corpus.rows import open_rows

REQUIRED_COLUMNS = [
    "checkpoint",
    "n_params",
    "n_tokens",
    "quantizer",
    "bits",
    "nominal_bits_per_param",
    "coded_bits_per_param",
    "train_loss",
    "quantized_loss",
    "C",
    "sigma",
    "alpha",
    "paper_bound",
    "freedman_bound",
    "geometric_bound",
    "azuma_bound",
    "vocab_size",
]


@pytest.fixture(scope="module")
def table(finished):
    return pd.read_csv(finished.path("results/smoke/bounds.csv"))


def test_table_has_a_row_for_each_checkpoint_and_quantizer(table):
    assert set(REQUIRED_COLUMNS) <= set(table.columns)
    assert set(zip(table["checkpoint"], table["quantizer"])) == {(c, q) for c in ("smoke-6k", "smoke-13k") for q in ("rtn-4", "gptq-4", "coded")}
    assert table["kind"].eq("estimate").all()
    assert np.isfinite(table.select_dtypes("number")).all(axis=None)


def test_losses_of_the_table_are_the_means_of_the_scores(finished, table):
    for row in table.itertuples():
        folder = finished.path("results/smoke", row.checkpoint)
        plain = pq.read_table(folder / "score/scores.parquet")["nll"].to_numpy().astype(float)
        quantized = pq.read_table(folder / "quantizers" / row.quantizer / "score/scores.parquet")["nll"].to_numpy().astype(float)
        assert row.train_loss == pytest.approx(plain.mean(), abs=1e-9)
        assert row.quantized_loss == pytest.approx(quantized.mean(), abs=1e-9)


def test_paper_bound_of_the_table_follows_from_the_formula(finished, table):
    """Recomputed here from the scores by brute force over the grid of s, with the formulas written out again."""
    for row in table.itertuples():
        scores = pq.read_table(finished.path("results/smoke", row.checkpoint, "quantizers", row.quantizer, "score/scores.parquet"))
        nll, entropy = (scores[name].to_numpy().astype(float) for name in ("nll", "entropy"))
        # a coded model has no nominal length: its real one stands in for it
        bits = (row.coded_bits_per_param if row.quantizer == "coded" else 4) * row.n_params
        c = (bits * np.log(2) + np.log(1000 / 0.01)) / row.n_tokens
        a, v = c / (1 + c), row.vocab_size
        x, y, d = -np.log((1 - a) * np.exp(-nll) + a / v), entropy - np.log(1 - a), np.log(v / a)
        sigmas = []
        for s in np.arange(1, 1001) / 1001:
            t = s * (y - x) / d
            sigmas.append(d * np.sqrt(c) * (1 - s) / s + d / np.sqrt(c) * np.mean(t - np.log(1 + t)) / s)
        bound = row.quantized_loss + c * np.log(v) + min(sigmas) * np.sqrt(c) + (1 + c) * np.log(1 + c) - c * np.log(c)
        assert row.paper_bound == pytest.approx(bound, abs=1e-7)
        assert pytest.approx(c, rel=1e-8) == row.C


def test_code_length_is_that_of_the_file(finished, table):
    for row in table.itertuples():
        bits = 8 * finished.path("results/smoke", row.checkpoint, "quantizers", row.quantizer, "encode/model.sbq").stat().st_size
        expected = (bits + 2 * np.ceil(np.log2(bits + 1)) + 1) / row.n_params
        assert row.coded_bits_per_param == pytest.approx(expected, rel=1e-9)


def test_certificates_are_a_table_of_their_own_and_lie_below_the_paper_s_recipe(finished, table):
    """The only rows that may be called so; each step of the way to them is a bound of the table or stands in certificate.json."""
    found = pd.read_csv(finished.path("results/smoke/certificates.csv"))
    assert list(found["checkpoint"]) == ["smoke-6k", "smoke-13k"]
    assert found["true_risk"].isna().all()
    for row in found.itertuples():
        lines = table[table["checkpoint"] == row.checkpoint].set_index("quantizer")
        certificate = json.loads(finished.path(f"results/smoke/{row.checkpoint}/quantizers/coded/certificate/certificate.json").read_text())
        assert (certificate["kind"], certificate["sampling"], row.sampling) == ("certificate", "unbiased", "unbiased")
        assert row.certificate == pytest.approx(certificate["value"], rel=1e-9)
        assert row.certificate == pytest.approx(sum(certificate["terms"].values()), rel=1e-9)
        assert row.estimate == pytest.approx(certificate["estimate"]["best"]["value"], rel=1e-9)
        assert (row.paper_recipe, row.real_code_length) == tuple(lines.loc["gptq-4", ["freedman_bound", "freedman_bound_coded"]])
        assert (row.geometric, row.tuned) == (lines.loc["gptq-4", "geometric_bound_coded"], lines.loc["coded", "geometric_bound_coded"])
        assert row.train_loss < row.estimate < row.certificate < row.paper_recipe
        assert row.gap_ratio == pytest.approx((row.certificate - row.train_loss) / (row.paper_recipe - row.train_loss), rel=1e-6)
        assert row.failure_probability == pytest.approx(0.01)


def test_training_keeps_powers_of_two_regular_points_and_every_loss(finished):
    folder = finished.path("results/training/smoke-6k")
    kept = sorted(int(p.name[4:]) for p in folder.glob("step*"))
    assert kept == [1, 2, 4, 8, 16, 25, 32, 50, 60]
    losses = pq.read_table(folder / "loss.parquet")
    assert losses["step"].to_pylist() == list(range(1, 61))
    assert losses["tokens_seen"].to_pylist()[-1] == 60 * 8 * 64


def test_windows_lie_in_what_the_checkpoint_saw(finished):
    windows = pq.read_table(finished.path("results/smoke/smoke-6k/sample/score/windows.parquet"))
    rows, tokens = windows["row"].to_numpy(), np.stack(windows["tokens"].to_numpy(zero_copy_only=False))
    stream = np.fromfile(finished.path("results/streams/smoke-sources/rows/tokens.bin"), dtype="<u2").reshape(-1, 65)
    assert rows.min() >= 0
    assert rows.max() < 480
    assert np.array_equal(tokens, stream[rows])


def test_every_run_reads_the_first_rows_of_one_order_over_the_whole_text(finished):
    """Far more rows than any run sees, and those that the smaller one sees come from documents all over the manifest."""
    folder = finished.path("results/streams/smoke-sources/rows")
    rows, stream = open_rows(folder / "tokens.bin", folder / "stream.json")
    documents = np.unique(DocumentOrder(rows, stream["row_seed"]).numbers(np.arange(480)))
    assert len(rows) > 50_000
    assert len(documents) > 150
    assert documents.max() > 0.9 * stream["documents"]


def test_held_out_losses_stand_beside_training_losses(finished):
    table = pd.read_csv(finished.path("results/smoke/bounds.csv")).drop_duplicates("checkpoint").set_index("checkpoint")
    for slug, row in table.iterrows():
        plain, _, _ = read_scores(finished.path(f"results/smoke/{slug}/heldout/scores.parquet"))
        assert row["heldout_loss"] == pytest.approx(plain.mean(), rel=1e-9)
        assert row["heldout_standard_error"] == pytest.approx(plain.mean(axis=1).std(ddof=1) / 8, rel=1e-9)
        assert abs(row["heldout_loss"] - row["train_loss"]) < 0.5
        # the bound: smoothed by 0.01, and by a bet that the first tenth of the windows chose for the others
        least, worst = -np.log(0.99 + 0.01 / row["vocab_size"]), np.log(row["vocab_size"] / 0.01)
        means = -np.log(0.99 * np.exp(-plain.astype(np.float64)) + 0.01 / row["vocab_size"]).mean(axis=1) - least
        pilot, rest = means[: len(means) // 10], means[len(means) // 10 :]
        bet = best_ceiling(pilot, worst - least, len(rest), 0.01)
        assert row["heldout_bound"] == pytest.approx(least + bet - np.exp(np.log(bet - rest).mean()) * 0.01 ** (1 / len(rest)), rel=1e-6)


def test_references_are_kept_beside_the_checkpoints(finished):
    averages = load_file(finished.path("results/training/smoke-6k/averages.safetensors"))
    kept = {int(name.partition("/")[0]) for name in averages}
    assert sorted(kept) == [5, 6, 8, 10, 13, 16, 20, 25, 31, 38, 48]
    assert sum(array.size for array in averages.values()) == len(kept) * 5688


def test_no_training_document_is_seen_by_the_tokenizer_or_held_out(finished):
    manifest = pq.read_table(finished.path("results/streams/smoke-sources/documents.parquet")).to_pandas()
    assert set(manifest["split"]) == {"tokenizer", "heldout", "train"}
    assert manifest["sha256"].is_unique
    shares = manifest.groupby("split")["bytes"].sum() / manifest["bytes"].sum()
    assert shares["tokenizer"] == pytest.approx(0.05, abs=0.02)


def test_every_score_names_what_it_was_made_from(finished):
    metadata = pq.read_schema(finished.path("results/smoke/smoke-6k/score/scores.parquet")).metadata
    identity = json.loads(metadata[b"scalebound"])
    assert {"inputs", "code", "settings", "packages", "device", "dtype", "model_files", "windows_per_batch"} <= set(identity)
    assert all(len(entry["sha256"]) == 64 for entry in identity["inputs"].values())


def test_figures_are_drawn_in_both_formats_with_their_identity(finished):
    for name in ("bounds_by_size", "terms", "loss_variation", "rates", "certificates"):
        with Image.open(finished.path(f"results/smoke/figures/{name}.png")) as image:
            assert json.loads(image.text["scalebound"])["stage"] == "figures"
            assert min(image.size) > 500
        assert finished.path(f"results/smoke/figures/{name}.pdf").read_bytes().startswith(b"%PDF")


def test_bounds_say_that_they_are_estimates(finished):
    bounds = json.loads(finished.path("results/smoke/smoke-6k/quantizers/gptq-4/bound/bounds.json").read_text())
    assert bounds["kind"] == "estimate"
    assert "certificate" not in json.dumps(bounds)


def test_report_prints_the_configured_values(finished_copy):
    done = finished_copy.snakemake("--report", "report.html")
    assert done.returncode == 0, done.stderr
    html = finished_copy.path("report.html").read_text()
    for value in ("gptq-4", "0.01", "1000", "64 windows"):
        assert value in html


def test_summary_prints_one_line_for_each_checkpoint(finished, table):
    done = finished.scalebound("summary", "--report", "report.html")
    assert done.returncode == 0, done.stderr
    for row in table[table["quantizer"] == "gptq-4"].itertuples():
        line = next(line for line in done.stdout.splitlines() if row.checkpoint in line)
        assert f"{row.train_loss:.3f}" in line
        assert f"{row.paper_bound:.3f}" in line
        assert f"{row.azuma_bound:.3f}" in line
    assert "figures" in done.stdout
    assert "report.html" in done.stdout


def test_the_run_ends_in_a_line_on_what_it_took(finished):
    """Every job of it is in the sum, and the three stages with most CPU by name."""
    costs = costs_by_stage_and_checkpoint(finished.path("results"))
    stages = add_up((stage, cost) for (stage, _), cost in costs.items())
    most = sorted(((cost.cpu_s, stage) for stage, cost in stages.items()), reverse=True)
    named = ", ".join(f"{stage} {seconds:,.1f} s" for seconds, stage in most[:3])
    jobs, seconds = sum(cost.jobs for cost in costs.values()), sum(cost.cpu_s for cost in costs.values())
    line = finished.output.splitlines()[-1]
    assert re.fullmatch(rf"This run took (\d+ min )?\d+ s on 2 cores; its {jobs} jobs took {seconds:,.1f} s of CPU: {named}, others [\d.]+ s", line)
    assert jobs > 100


def test_tables_that_a_study_reads_are_not_taken_for_the_studies_that_they_come_from(finished_copy):
    """`snakemake gap_law` makes tables of two other studies, whose figures nobody asked for: the audit misses nothing."""
    line = next(line for line in finished_copy.path("config/smoke.yaml").read_text().splitlines() if line.startswith("  run: ["))
    finished_copy.edit("config/smoke.yaml", line, "  run: []")
    for figure in ("trajectory", "information", "scaling_law"):
        for path in finished_copy.path("results/smoke/figures").glob(f"{figure}.*"):
            path.unlink()
    done = finished_copy.snakemake("gap_law")
    assert done.returncode == 0, done.stderr
    done = finished_copy.snakemake()
    assert done.returncode == 0, done.stderr
    # the one job of this run, and not those of the run before
    assert re.search(r"; its 1 job took [\d.]+ s of CPU: resolved-config [\d.]+ s$", done.stderr.splitlines()[-1])
    assert json.loads(finished_copy.path("results/smoke/config.json").read_text())["config"]["studies"]["run"] == []
    assert audit(finished_copy.path("results"), workers=1, numbers=False).findings == []
    finished_copy.path("results/smoke/figures/gap_law.pdf").unlink()
    assert {finding.path for finding in audit(finished_copy.path("results"), workers=1, numbers=False).findings} == {"results/smoke/figures/gap_law.pdf"}


def test_the_online_bound_of_the_whole_stream_is_where_its_parts_begin(finished):
    """From share 0 on, along_stream.csv has the numbers of bounds.csv; later parts count fewer positions at the same code."""
    along = pd.read_csv(finished.path("results/smoke/along_stream.csv"))
    bounds = pd.read_csv(finished.path("results/smoke/bounds.csv")).query("quantizer == 'coded'").set_index("checkpoint")
    for slug, rows in along.groupby("checkpoint"):
        first, wanted = rows.iloc[0], bounds.loc[slug]
        assert first["from"] == 0
        for mine, theirs in (("online_bound", "online_bound_coded"), ("geometric_bound", "geometric_bound_coded"), ("train_loss", "train_loss")):
            assert first[mine] == pytest.approx(wanted[theirs], rel=1e-9)
        np.testing.assert_allclose(rows["C"] * (1 - rows["from"]), first["C"], rtol=0.01)
        # references get better along the stream, and closer to the final model
        assert rows["reference_loss"].iloc[-1] < rows["reference_loss"].iloc[0] - 0.5
        assert rows["difference_second_moment"].iloc[-1] < rows["difference_second_moment"].iloc[0] / 4


def test_references_pay_for_themselves(finished):
    """At the same model, code and data, (D) lies below (G) and (F) at nominal bits; the certificate below that without references."""
    bounds = pd.read_csv(finished.path("results/smoke/bounds.csv"))
    assert (bounds["online_bound"] < bounds["geometric_bound"]).all()
    assert (bounds["geometric_bound"] < bounds["freedman_bound"]).all()
    certificates = pd.read_csv(finished.path("results/smoke/certificates.csv"))
    assert (certificates["certificate"] < certificates["without_references"]).all()
    assert (certificates["method"] == "online").all()


@pytest.mark.parametrize(("run", "threads"), [("smoke-6k", 1), ("smoke-13k", 2)])
def test_training_and_what_tunes_or_teaches_by_it_take_the_threads_that_the_run_asks_for(finished, run, threads):
    """Whatever Snakemake had to give: the number is among what the bits follow from."""
    folder = finished.path("results/smoke", run)
    students = list(folder.glob("requential/*/student/code.json"))
    assert students
    for path in (finished.path("results/training", run, "checkpoints.json"), folder / "quantizers/coded/encode/code.json", *students):
        assert json.loads(path.read_text())["identity"]["threads"] == threads
