"""Training of the ladder's models: schedule, repetition bit for bit, and what is kept."""

import numpy as np
import pytest
import torch

from scalebound.configuration.config import TrainingRun
from scalebound.corpus.rows import Rows
from scalebound.errors import InputError
from scalebound.models.training import build_model, learning_rate, train

SETTINGS = {
    "stream": "s",
    "hidden_size": 8,
    "layers": 1,
    "heads": 2,
    "batch_rows": 4,
    "steps": 30,
    "learning_rate": 0.02,
    "warmup_steps": 5,
    "keep_every": 10,
    "seed": 3,
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """A stream that counts upwards modulo 11: easy to learn."""
    path = tmp_path_factory.mktemp("stream") / "tokens.bin"
    (np.arange(200 * 17) % 11).astype("<u2").tofile(path)
    return Rows(path, 200, 17, 16)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(rows, **changes):
    kept = {}
    history = train(TrainingRun(**SETTINGS | changes), rows, lambda step, model: kept.update({step: {k: v.clone() for k, v in model.state_dict().items()}}))
    return history, kept


def test_warm_up_is_linear_and_decay_is_a_cosine_to_the_floor():
    settings = TrainingRun(**SETTINGS | {"steps": 105, "warmup_steps": 5, "final_learning_rate_fraction": 0.1})
    assert learning_rate(settings, 0) == pytest.approx(0.02 / 5)
    assert learning_rate(settings, 4) == pytest.approx(0.02)
    assert learning_rate(settings, 55) == pytest.approx(0.02 * (0.1 + 0.9 * 0.5))
    assert learning_rate(settings, 105) == pytest.approx(0.002)


def test_two_runs_are_equal_bit_for_bit(rows):
    (first, kept), (second, again) = run(rows), run(rows)
    assert first == second
    assert all(torch.equal(kept[30][name], again[30][name]) for name in kept[30])


def test_another_seed_is_another_model(rows):
    assert run(rows)[0] != run(rows, seed=4)[0]


def test_every_loss_and_the_asked_checkpoints_are_kept(rows):
    history, kept = run(rows)
    assert [step.step for step in history] == list(range(1, 31))
    assert [step.tokens_seen for step in history][-1] == 30 * 4 * 16
    assert sorted(kept) == [1, 2, 4, 8, 10, 16, 20, 30]


def test_the_first_loss_is_that_of_the_initial_model(rows):
    history, _ = run(rows)
    model = build_model(TrainingRun(**SETTINGS), 17, 16)
    tokens = torch.from_numpy(rows.read(range(4)).astype("int64"))
    assert history[0].loss == pytest.approx(model(input_ids=tokens, labels=tokens).loss.item(), abs=1e-6)


def test_it_learns(rows):
    history, _ = run(rows, steps=50)
    assert history[-1].loss < 0.5 * history[0].loss


def test_embeddings_are_untied_and_the_size_is_as_counted(rows):
    model = build_model(TrainingRun(**SETTINGS), 17, 16)
    assert sum(p.numel() for p in model.parameters()) == 2 * 16 * 8 + 2 * 8 + 12 * 64 + 13 * 8
    assert model.get_input_embeddings().weight is not model.get_output_embeddings().weight


def test_a_short_stream_is_refused_before_any_step(rows):
    with pytest.raises(InputError, match="needs 204 rows, the stream has 200"):
        run(rows, steps=51)


def test_a_diverging_run_is_stopped(rows):
    with pytest.raises(InputError, match="Lower learning_rate"):
        run(rows, learning_rate=1e30, warmup_steps=0)
