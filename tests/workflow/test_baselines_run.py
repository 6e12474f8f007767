"""The study `baselines` of the smoke preset: held-out windows, documents, and the table beside the bounds."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scalebound.artifacts.parquet import identity_of, write_parquet
from scalebound.artifacts.scores import read_scores
from scalebound.artifacts.windows import read as read_windows
from scalebound.artifacts.windows import row_digest, token_digest
from scalebound.audit.chain import Folder
from scalebound.audit.checks import check_heldout
from scalebound.commands import baseline
from scalebound.commands.baselines import baselines_text
from scalebound.configuration.config import Bound
from scalebound.corpus import documents, tokenizer
from scalebound.errors import InputError
from scalebound.plan.plan import Plan

ROW, STREAM = "results/smoke/smoke-6k", "results/streams/smoke-sources"
SLUGS = ("smoke-6k", "smoke-13k")


@pytest.fixture(scope="module")
def table(finished):
    return pd.read_csv(finished.path("results/smoke/baselines.csv"), keep_default_na=False, na_values=[""]).set_index("checkpoint")


def test_bounds_and_certificates_are_those_of_their_tables(finished, table):
    assert tuple(table.index) == SLUGS
    bounds = pd.read_csv(finished.path("results/smoke/bounds.csv")).query("quantizer == 'gptq-4'").set_index("checkpoint")
    names = ["n_params", "n_tokens", "train_loss", "quantized_loss", "paper_bound", "freedman_bound", "geometric_bound", "azuma_bound"]
    pd.testing.assert_frame_equal(table[names], bounds.loc[list(SLUGS), names])
    certificates = pd.read_csv(finished.path("results/smoke/certificates.csv")).set_index("checkpoint")
    assert table["certificate"].tolist() == certificates.loc[list(SLUGS), "certificate"].tolist()
    assert table["kind"].eq("estimate").all()
    assert np.allclose(table["log_v"], np.log(300))
    assert table["missing"].isna().all()


def test_held_out_losses_are_means_of_scores_with_their_error_over_windows(finished, table):
    for slug in SLUGS:
        plain, quantized = (read_scores(finished.path(f"results/smoke/{slug}/{place}heldout/scores.parquet"))[0] for place in ("", "quantizers/gptq-4/"))
        row = table.loc[slug]
        assert row["heldout_loss"] == pytest.approx(plain.mean(), rel=1e-9)
        assert row["heldout_loss_quantized"] == pytest.approx(quantized.mean(), rel=1e-9)
        assert row["heldout_standard_error"] == pytest.approx(plain.mean(axis=1).std(ddof=1) / 8, rel=1e-9)
        assert row["heldout_windows"] == len(plain) == 64
        assert not np.array_equal(plain, quantized)


def test_held_out_windows_are_text_of_held_out_documents_and_of_no_row_that_was_trained_on(finished):
    ids, tokens, identity = read_windows(finished.path(f"{STREAM}/heldout/windows.parquet"))
    assert identity["sampling"] == "heldout"
    assert len(set(ids)) == 64
    listed = documents.read_list(finished.path(f"{STREAM}/documents.parquet"))
    made = tokenizer.read(finished.path(f"{STREAM}/tokenizer.json"), 300)
    kept = [row for row in listed if row["split"] == "heldout"]
    text = tokenizer.END_OF_DOCUMENT.join([*documents.read_texts(kept, finished.path(f"{STREAM}/wheels")), ""])
    # byte-level tokens that a cut took from a character show as the replacement character
    assert all(piece in text for row in tokens for piece in made.decode(row.tolist(), skip_special_tokens=False).split("\ufffd"))
    trained = np.fromfile(finished.path(f"{STREAM}/rows/tokens.bin"), dtype="<u2").reshape(-1, 65)
    assert not {row.tobytes() for row in trained} & {row.astype("<u2").tobytes() for row in tokens}


def test_the_bound_for_documents_follows_from_the_formula(finished, table):
    """With the mean over documents from the documents of the sampled tokens, found by walking through the documents of the rows."""
    stream = np.fromfile(finished.path(f"{STREAM}/rows/tokens.bin"), dtype="<u2").reshape(-1, 65)
    order = np.random.Generator(np.random.PCG64(8)).permutation(len(stream))
    text = np.empty_like(stream)
    text[order] = stream
    document = (np.cumsum(text.ravel() == 0) - (text.ravel() == 0)).reshape(text.shape)[order]
    for slug, rows in (("smoke-6k", 480), ("smoke-13k", 960)):
        found, counts = np.unique(document[:rows, 1:], return_counts=True)
        predictions = dict(zip(found, counts))
        ids, _, _ = read_windows(finished.path(f"results/smoke/{slug}/sample/score/windows.parquet"))
        nll, _, _ = read_scores(finished.path(f"results/smoke/{slug}/quantizers/gptq-4/score/scores.parquet"))
        weights = np.array([[1 / predictions[d] for d in row[1:]] for row in document[ids]])
        values, row = [], table.loc[slug]
        for a in np.geomspace(0.002, 0.5, 40):
            mean = np.sum(-np.log((1 - a) * np.exp(-nll) + a / 300) * weights) / weights.sum()
            c = (4 * row["n_params"] * np.log(2) + np.log(40 / 0.01)) / len(found)
            values.append(mean + np.log(1 + (1 - a) * 300 / a) * np.sqrt(c / 2))
        assert row["documents"] == len(found) > 150
        assert row["document_bound"] == pytest.approx(min(values), rel=1e-8)
        assert row["document_bound"] > row["log_v"]


def test_a_checkpoint_without_known_documents_has_empty_cells_and_a_reason(finished):
    bounds = [finished.path(f"results/smoke/{slug}/quantizers/gptq-4/bound/bounds.json") for slug in SLUGS]
    lines = baselines_text(bounds, [finished.path(f"{ROW}/baseline/baseline.json")], []).splitlines()
    found = dict(zip(lines[0].split(","), next(line for line in lines if line.startswith("smoke-13k")).split(",")))
    assert found["missing"] == "the documents of the stream are not known"
    assert {found[name] for name in ("heldout_loss", "heldout_standard_error", "document_bound", "documents", "certificate")} == {""}
    assert float(found["paper_bound"]) > 0


def baseline_inputs(workspace, **changes):
    quantized = f"{ROW}/quantizers/gptq-4"
    names = {"bounds": f"{quantized}/bound/bounds.json", "scores": f"{quantized}/score/scores.parquet", "windows": f"{ROW}/sample/score/windows.parquet"}
    names |= {"tokens": f"{STREAM}/rows/tokens.bin", "stream": f"{STREAM}/rows/stream.json"}
    names |= {"heldout": f"{ROW}/heldout/scores.parquet", "heldout_quantized": f"{quantized}/heldout/scores.parquet"}
    return {name: workspace.path(path) for name, path in (names | changes).items()}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"heldout": f"{ROW}/score/scores.parquet"}, "Give scores of held-out windows"),
        ({"scores": f"{ROW}/heldout/scores.parquet"}, "Give scores of windows of the training stream"),
        ({"windows": f"{ROW}/sample/calibration/windows.parquet"}, "scored on other windows"),
    ],
)
def test_scores_of_the_wrong_windows_are_refused(finished, changes, words):
    settings = Bound(**json.loads(finished.path("results/smoke/config.json").read_text())["config"]["bound"])
    assert baseline.compute(baseline_inputs(finished), settings)["out"]["documents"] > 150
    with pytest.raises(InputError, match=words):
        baseline.compute(baseline_inputs(finished, **changes), settings)


@pytest.mark.parametrize("record", [f"{STREAM}/heldout/run.json", f"{ROW}/baseline/run.json", "results/smoke/baselines.run.json"])
def test_the_same_job_gives_the_same_bytes(stages, finished, record):
    job = json.loads(finished.path(record).read_text())
    for name in job["outputs"]:
        stages.workspace.path(name).unlink()
    assert stages.run(job)[0] == 0, stages.log.read_text()
    for name in job["outputs"]:
        assert stages.workspace.path(name).read_bytes() == finished.path(name).read_bytes()


def heldout_job(workspace):
    jobs = Plan.from_results(workspace.path("results/smoke/config.json")).jobs_of("smoke")
    (job,) = (job for job in jobs if job.stage == "heldout")
    return job, Folder(workspace.folder)


@pytest.mark.parametrize(
    ("ids", "tokens", "words"), [("sorted", "sorted", "the held-out rows of seed 707"), ("kept", "training", "tokens of the held-out documents")]
)
def test_other_held_out_windows_are_named_although_their_digests_fit(finished_copy, ids, tokens, words):
    """Windows picked in another way, or training rows in their place."""
    path = finished_copy.path(f"{STREAM}/heldout/windows.parquet")
    table = pq.read_table(path)
    found, rows, _ = read_windows(path)
    order = np.argsort(found) if ids == "sorted" else np.arange(len(found))
    trained = read_windows(finished_copy.path(f"{ROW}/sample/score/windows.parquet"))[1]
    found, rows = found[order], (rows if tokens == "sorted" else trained)[order]
    columns = [table["window"].to_numpy(), found, rows.tolist()]
    digests = {"tokens_sha256": token_digest(rows), "rows_sha256": row_digest(found)}
    arrays = [pa.array(values, type=field.type) for values, field in zip(columns, table.schema)]
    write_parquet(path, pa.Table.from_arrays(arrays, schema=table.schema), identity_of(table, path) | digests)
    (finding,) = check_heldout(*heldout_job(finished_copy))
    assert finding.expected == words
