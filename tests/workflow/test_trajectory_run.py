"""The study `trajectory` of the smoke preset: its numbers follow from its scores, and meet those of the chain of jobs."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from scalebound import cli
from scalebound.artifacts.scores import read_scores
from scalebound.artifacts.trajectory_scores import read_trajectory
from scalebound.artifacts.windows import read as read_windows
from scalebound.audit.checks import check_trajectory_scores
from scalebound.audit.recompute import recompute
from scalebound.configuration.config import Quantizer, Scoring
from scalebound.corpus.rows import open_rows

ROW = "results/smoke/smoke-6k"
FOLDER = f"{ROW}/trajectory"
STEPS = {"smoke-6k": [1, 8, 60], "smoke-13k": [1, 8, 120]}


@pytest.fixture(scope="module")
def table(finished):
    return pd.read_csv(finished.path("results/smoke/trajectory.csv"))


def test_each_run_is_a_line_of_its_kept_steps_thinned(table):
    assert {line: sorted(rows["step"]) for line, rows in table.groupby("line")} == STEPS
    assert table["kind"].eq("estimate").all()
    assert table["n_tokens"].eq(table["step"] * 8 * 64).all()
    np.testing.assert_allclose(table["tokens_per_param"], table["n_tokens"] / table["n_params"], rtol=1e-9)
    assert np.isfinite(table.select_dtypes("number")).all(axis=None)


def test_rows_were_seen_and_tokens_stand_behind_them(finished):
    rows, _ = open_rows(*(finished.path(f"results/streams/smoke-sources/rows/{name}") for name in ("tokens.bin", "stream.json")))
    steps, made_of = read_trajectory(finished.path(f"{FOLDER}/scores.parquet"))
    for scores in steps:
        assert scores.rows.min() >= 0
        assert scores.rows.max() < 8 * scores.step <= rows.rows
        assert scores.nll.shape == (16, 64)
    assert made_of["settings"]["seed"] == 505


def test_paper_bound_follows_from_the_formula_at_every_step(finished, table):
    """By brute force over the grid of s, with the formulas written out again."""
    for line in STEPS:
        steps, _ = read_trajectory(finished.path(f"results/smoke/{line}/trajectory/scores.parquet"))
        for scores, row in zip(steps, table[table["line"] == line].sort_values("step").itertuples()):
            c = (4 * row.n_params * np.log(2) + np.log(1000 / 0.01)) / (scores.step * 8 * 64)
            a, v = c / (1 + c), row.vocab_size
            x, y, d = -np.log((1 - a) * np.exp(-scores.quantized_nll) + a / v), scores.quantized_entropy - np.log(1 - a), np.log(v / a)
            sigmas = []
            for s in np.arange(1, 1001) / 1001:
                t = s * (y - x) / d
                sigmas.append(d * np.sqrt(c) * (1 - s) / s + d / np.sqrt(c) * np.mean(t - np.log(1 + t)) / s)
            bound = scores.quantized_nll.mean() + c * np.log(v) + min(sigmas) * np.sqrt(c) + (1 + c) * np.log(1 + c) - c * np.log(c)
            assert pytest.approx(c, rel=1e-8) == row.C
            assert row.paper_bound == pytest.approx(bound, rel=1e-7)
            assert row.train_loss == pytest.approx(scores.nll.mean(), rel=1e-8)
            assert row.quantized_loss == pytest.approx(scores.quantized_nll.mean(), rel=1e-8)


def test_the_last_step_agrees_with_the_table_of_bounds_within_the_error_of_sampling(finished, table):
    bounds = pd.read_csv(finished.path("results/smoke/bounds.csv")).query("quantizer == 'gptq-4'").set_index("checkpoint")
    for line, last in table.sort_values("step").groupby("line").last().iterrows():
        own = bounds.loc[line]
        assert (last["n_tokens"], last["n_params"]) == (own["n_tokens"], own["n_params"])
        assert pytest.approx(own["C"], rel=1e-8) == last["C"]
        windows = [read_trajectory(finished.path(f"results/smoke/{line}/trajectory/scores.parquet"))[0][-1].nll.mean(axis=1)]
        windows.append(read_scores(finished.path(f"results/smoke/{line}/score/scores.parquet"))[0].mean(axis=1))
        error = np.sqrt(sum(means.var(ddof=1) / len(means) for means in windows))
        assert 0 < abs(last["train_loss"] - own["train_loss"]) < 4 * error
        assert abs(last["paper_bound"] - own["paper_bound"]) < 6 * error


def test_one_process_does_what_the_chain_of_jobs_does_bit_for_bit(finished):
    """On the windows of the chain, the last step has the scores of the chain, before and after quantization."""
    from scalebound.commands.score_trajectory import Scorer

    torch.set_num_threads(1)
    config = json.loads(finished.path("results/smoke/config.json").read_text())["config"]
    architecture = json.loads(finished.path(f"{ROW}/resolve/architecture.json").read_text())
    scorer = Scorer(Scoring(**config["scoring"]), Quantizer(**config["quantizers"]["gptq-4"]), architecture["parameters"], torch.device("cpu"))
    (_, tokens, _), (_, calibration, _) = (read_windows(finished.path(f"{ROW}/sample/{draw}/windows.parquet")) for draw in ("score", "calibration"))
    plain, quantized, _ = scorer.score(finished.path("results/training/smoke-6k/step60"), tokens, calibration)
    for scores, place in ((plain, "score"), (quantized, "quantizers/gptq-4/score")):
        nll, entropy, _ = read_scores(finished.path(f"{ROW}/{place}/scores.parquet"))
        # beside a reference, logits are made for fewer tokens at a time, which rounds otherwise
        tolerance = 0 if place == "score" else 1e-5
        np.testing.assert_allclose(scores.nll, nll, rtol=0, atol=tolerance)
        np.testing.assert_allclose(scores.entropy, entropy, rtol=0, atol=tolerance)


@pytest.mark.parametrize("job", ["score", "bound"])
def test_the_same_job_gives_the_same_bytes(stages, finished, job):
    record = json.loads(finished.path(f"{FOLDER}/{job}.run.json").read_text())
    (name,) = record["outputs"]
    stages.workspace.path(name).unlink()
    assert stages.run(record)[0] == 0, stages.log.read_text()
    assert stages.workspace.path(name).read_bytes() == finished.path(name).read_bytes()


def test_a_missing_checkpoint_is_named(finished_copy, monkeypatch, capsys):
    record = json.loads(finished_copy.path(f"{FOLDER}/score.run.json").read_text())
    shutil.rmtree(finished_copy.path("results/training/smoke-6k/step8"))
    finished_copy.path(f"{FOLDER}/scores.parquet").unlink()
    monkeypatch.chdir(finished_copy.folder)
    assert cli.main([record["stage"], *record["arguments"]]) == 1
    assert "results/training/smoke-6k/step8/config.json: no such file" in capsys.readouterr().err
    assert not finished_copy.path(f"{FOLDER}/scores.parquet").exists()


def jobs_and_folder(workspace):
    from scalebound.audit.chain import Folder
    from scalebound.plan.plan import Plan

    jobs = Plan.from_results(workspace.path("results/smoke/config.json")).jobs_of("smoke")
    return {job.stage: job for job in jobs if job.record.startswith(FOLDER)}, Folder(workspace.folder)


def rewrite(workspace, change):
    """The scores with one column changed, under their old identity."""
    from scalebound.artifacts.parquet import identity_of, read_parquet, write_parquet

    path = workspace.path(f"{FOLDER}/scores.parquet")
    table = read_parquet(path)
    column, values = change(table)
    write_parquet(path, table.set_column(table.schema.get_field_index(column), column, [values]), identity_of(table, path))


def test_rows_of_another_seed_are_named(finished_copy):
    rewrite(finished_copy, lambda table: ("row", np.zeros(table.num_rows, dtype=np.int64)))
    jobs, folder = jobs_and_folder(finished_copy)
    (found,) = check_trajectory_scores(jobs["score-trajectory"], folder)
    assert found.expected == "at step 1 the rows of seed 505"


def test_better_scores_are_named_by_the_bounds_that_do_not_follow(finished_copy):
    rewrite(finished_copy, lambda table: ("quantized_nll", table["quantized_nll"].to_numpy() * np.float32(0.9)))
    jobs, folder = jobs_and_folder(finished_copy)
    assert check_trajectory_scores(jobs["score-trajectory"], folder) == []
    (found,) = recompute(jobs["bound-trajectory"], folder)[0]
    assert found.expected.startswith("points[0].")


def test_a_bound_of_a_later_step_that_was_edited_is_named(finished_copy):
    path = finished_copy.path(f"{FOLDER}/bounds.json")
    content = json.loads(path.read_text())
    content["points"][-1]["nominal"]["paper"]["bound"] -= 0.1
    path.write_text(json.dumps(content))
    jobs, folder = jobs_and_folder(finished_copy)
    (found,) = recompute(jobs["bound-trajectory"], folder)[0]
    assert found.expected.startswith("points[2].nominal.paper.bound")
