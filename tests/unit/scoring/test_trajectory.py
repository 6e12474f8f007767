"""Which steps a trajectory goes through, what is drawn at each, its scores read back, and its table."""

import json

import numpy as np
import pyarrow as pa
import pytest

from scalebound.artifacts.parquet import write_parquet
from scalebound.artifacts.provenance import describe_files
from scalebound.artifacts.trajectory_scores import COLUMNS, read_trajectory
from scalebound.commands import bound_trajectory
from scalebound.commands.score_trajectory import check_checkpoints
from scalebound.commands.trajectory import trajectory_text
from scalebound.configuration.config import Bound, TrainingRun
from scalebound.errors import InputError
from scalebound.scoring.trajectory import draw, steps_of


def run_of(**changes):
    settings = {"stream": "s", "hidden_size": 8, "layers": 1, "heads": 1, "batch_rows": 4, "steps": 1000, "learning_rate": 0.1, "warmup_steps": 1}
    return TrainingRun(**settings | {"keep_every": 300, "seed": 1} | changes)


KEPT = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 512, 600, 900, 1000]


def test_all_kept_steps_up_to_the_last():
    assert steps_of(run_of(), 1000) == KEPT
    assert steps_of(run_of(), 300) == KEPT[:10]


@pytest.mark.parametrize("points", [2, 3, 5, 8, 14, 40])
def test_thinned_steps_keep_both_ends_and_are_spaced_by_factors(points):
    found = steps_of(run_of(), 1000, points)
    assert set(found) <= set(KEPT)
    assert (found[0], found[-1]) == (1, 1000)
    assert len(found) <= min(points, len(KEPT))
    # a kept step is never further from the wanted one than the geometric middle of two powers of two
    factors = np.diff(np.log(found))
    assert factors.max() <= np.log(1000) / (min(points, len(KEPT)) - 1) + np.log(2)


def test_three_points():
    assert steps_of(run_of(), 1000, 3) == [1, 32, 1000]


def test_a_step_draws_from_the_rows_that_it_had_seen():
    run = run_of()
    for step in KEPT:
        ids = draw(run, step, 2000, 5)
        assert ids.min() >= 0
        assert ids.max() < 4 * step
    assert draw(run, 1000, 2000, 5).max() > 3900
    # of two epochs the second shows nothing new
    assert draw(run_of(epochs=2), 1000, 2000, 5).max() < 2000


def test_draws_follow_from_seed_and_step_and_differ_from_all_others():
    run = run_of()
    np.testing.assert_array_equal(draw(run, 512, 50, 5), draw(run, 512, 50, 5))
    seeds, steps = ([draw(run, 1000, 50, seed).tolist() for seed in (5, 6)], [draw(run_of(epochs=1000), step, 50, 5).tolist() for step in (1, 512, 900)])
    assert seeds[0] != seeds[1]
    # all of these steps have seen the same four rows
    assert steps[0] != steps[1] != steps[2]


def scores(steps=(1, 4), windows=3, length=5):
    """A table of scores that grow from row to row."""
    count, parts = windows * length, []
    for step in steps:
        window, position = np.divmod(np.arange(count), length)
        columns = {"step": np.full(count, step, dtype=np.int32), "window": window, "row": np.repeat(np.arange(windows) + 7, length), "position": position}
        parts.append(pa.table(columns | {name: np.arange(count, dtype=np.float32) + 100 * k + step for k, name in enumerate(COLUMNS)}))
    return pa.concat_tables(parts)


def test_scores_are_read_back_step_by_step(tmp_path):
    write_parquet(tmp_path / "scores.parquet", scores(), {"stage": "score-trajectory"})
    (first, second), _ = read_trajectory(tmp_path / "scores.parquet")
    assert (first.step, second.step) == (1, 4)
    assert first.rows.tolist() == [7, 8, 9]
    assert first.nll.shape == second.quantized_entropy.shape == (3, 5)
    assert first.nll[1, 2] == 8
    assert second.quantized_entropy[0, 0] == 304


DAMAGE = {
    "no column": lambda t: t.drop_columns("row"),
    "a token missing": lambda t: t.slice(1),
    "two tokens exchanged": lambda t: t.take([1, 0, *range(2, t.num_rows)]),
    "steps exchanged": lambda t: t.take([*range(15, 30), *range(15)]),
    "a window of two rows": lambda t: t.set_column(2, "row", pa.array(np.arange(t.num_rows))),
    "nothing": lambda t: t.slice(0, 0),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_scores_are_refused(damage, tmp_path):
    write_parquet(tmp_path / "scores.parquet", DAMAGE[damage](scores()), {"stage": "score-trajectory"})
    with pytest.raises(InputError, match="Score the trajectory again"):
        read_trajectory(tmp_path / "scores.parquet")


@pytest.fixture
def kept(tmp_path):
    """checkpoints.json beside two kept steps."""
    names = [f"step{step}/{name}" for step in (1, 2) for name in ("config.json", "model.safetensors")]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "checkpoints.json").write_text(json.dumps({"identity": {"stage": "train"}, "files": describe_files(tmp_path, names)}))
    return tmp_path / "checkpoints.json"


def test_kept_checkpoints_are_those_that_training_wrote(kept):
    check_checkpoints(kept, [1, 2])
    with pytest.raises(InputError, match=r"no step4/config\.json"):
        check_checkpoints(kept, [1, 2, 4])
    (kept.parent / "step2/config.json").write_text("another")
    check_checkpoints(kept, [1])
    with pytest.raises(InputError, match="altered"):
        check_checkpoints(kept, [1, 2])


def test_a_missing_checkpoint_is_named(kept):
    (kept.parent / "step1/model.safetensors").unlink()
    with pytest.raises(InputError, match=r"step1/model\.safetensors: no such file"):
        check_checkpoints(kept, [1, 2])


def nominal(bound):
    terms = {"train_loss": 1.0, "parameters_per_token": 0.9, "loss_variation": 0.2, "smoothing": 0.4, "smoothing_sqrt": 0.5, "quantization_gap": 0.0}
    paper = {"bound": bound, "C": 0.1, "sigma": 0.3, "alpha": 0.1, "terms": terms}
    return {"paper": paper, **{name: {"bound": bound} for name in ("freedman", "geometric", "azuma")}}


def point(step, tokens, bound):
    return {"step": step, "n_tokens": tokens, "train_loss": 1.0, "quantized_loss": 1.0, "sampled_windows": 4, "nominal": nominal(bound)}


def released(slug, repo, step, bound):
    """bounds.json of a released checkpoint."""
    known = {"identity": {"stage": "bound"}, "kind": "estimate", "n_params": 1000, "vocab_size": 64}
    return known | {"checkpoint": {"slug": slug, "repo": repo, "step": step}} | point(step, 100 * step, bound)


def test_a_run_is_a_line_and_released_steps_of_one_repository_are_another(tmp_path):
    along = {"identity": {"stage": "bound-trajectory"}, "kind": "estimate", "line": "run", "n_params": 500, "vocab_size": 64}
    files = {"along": along | {"points": [point(1, 10, 9.0), point(2, 20, 8.0)]}}
    files |= {"late": released("late", "org/model", 30, 3.0), "early": released("early", "org/model", 3, 4.0)}
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    lines = [line.split(",") for line in trajectory_text([tmp_path / "along"], [tmp_path / "late", tmp_path / "early"]).splitlines()]
    table = [dict(zip(lines[0], line)) for line in lines[1:]]
    assert [row["line"] for row in table] == ["run", "run", "org/model", "org/model"]
    assert [row["checkpoint"] for row in table] == ["run/step1", "run/step2", "early", "late"]
    assert [float(row["tokens_per_param"]) for row in table] == [0.02, 0.04, 0.3, 3.0]
    assert [float(row["paper_bound"]) for row in table] == [9, 8, 4, 3]
    (tmp_path / "early").write_text(json.dumps(files["early"] | {"nominal": {}}))
    with pytest.raises(InputError, match="no bounds of a checkpoint"):
        trajectory_text([], [tmp_path / "early"])
    with pytest.raises(InputError, match="no checkpoint"):
        trajectory_text([], [])


@pytest.mark.parametrize("quantizer", [{"method": "gptq", "bits": 4}, {"method": "incoherent", "bits": 4, "seed": 1}])
def test_the_papers_quantizer_may_be_any_on_a_fixed_grid(tmp_path, quantizer):
    made_of = {"stage": "score-trajectory", "settings": {"run": run_of().model_dump(), "quantizer": quantizer, "last_step": 4}}
    write_parquet(tmp_path / "scores.parquet", small_losses(scores()), made_of)
    model = {"identity": {"stage": "resolve"}, "checkpoint": {"slug": "m", "repo": "r", "step": 4}, "n_params": 50, "vocab_size": 64}
    (tmp_path / "resolved.json").write_text(json.dumps(model))
    found = bound_trajectory.compute({"model": tmp_path / "resolved.json", "scores": tmp_path / "scores.parquet"}, Bound())["out"]
    assert [point["n_tokens"] for point in found["points"]] == [4 * 5, 16 * 5]
    assert {point["nominal"]["code_length_bits"] for point in found["points"]} == {200}


def small_losses(table):
    for name in COLUMNS:
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(table[name].to_numpy() % 4))
    return table
