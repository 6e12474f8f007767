"""Training of the ladder's models: schedule, repetition bit for bit, and what is kept."""

import numpy as np
import pytest
import torch
from interrupted import ended_and_resumed

from scalebound.configuration.config import References, TrainingRun
from scalebound.corpus.rows import Rows
from scalebound.errors import InputError
from scalebound.models.flat_weights import FlatWeights
from scalebound.models.training import build_model, learning_rate, train
from scalebound.models.unfinished import NOWHERE

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


def run(rows, unfinished=NOWHERE, **changes):
    """(history, {step<k> or average<k>: weights})."""
    kept = {}
    keep = lambda step, model: kept.update({f"step{step}": {k: v.clone() for k, v in model.state_dict().items()}})  # noqa: E731
    history, averages = train(TrainingRun(**SETTINGS | changes), rows, keep, unfinished=unfinished)
    return history, kept | {f"average{step}": weights for step, weights in averages.items()}


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_warm_up_is_linear_and_decay_is_a_cosine_to_the_floor():
    settings = TrainingRun(**SETTINGS | {"steps": 105, "warmup_steps": 5, "final_learning_rate_fraction": 0.1})
    assert learning_rate(settings, 0) == pytest.approx(0.02 / 5)
    assert learning_rate(settings, 4) == pytest.approx(0.02)
    assert learning_rate(settings, 55) == pytest.approx(0.02 * (0.1 + 0.9 * 0.5))
    assert learning_rate(settings, 105) == pytest.approx(0.002)


def test_two_runs_are_equal_bit_for_bit(rows):
    (first, kept), (second, again) = run(rows), run(rows)
    assert first == second
    assert all(equal(kept[folder], again[folder]) for folder in kept)


@pytest.mark.parametrize(("states", "changes"), [(1, {}), (13, {}), (29, {}), (13, {"references": None})])
def test_a_run_whose_process_was_ended_goes_on_and_is_equal_bit_for_bit(rows, tmp_path, monkeypatch, states, changes):
    (history, kept), own = ended_and_resumed(monkeypatch, tmp_path, lambda unfinished: run(rows, unfinished, **changes), states)
    undisturbed, again = run(rows, **changes)
    assert own == 30 - states
    assert history == undisturbed
    assert list(kept) == list(again)
    assert all(equal(kept[folder], again[folder]) for folder in kept)


def test_another_seed_is_another_model(rows):
    assert run(rows)[0] != run(rows, seed=4)[0]


def test_every_loss_and_the_asked_checkpoints_are_kept(rows):
    history, kept = run(rows)
    assert [step.step for step in history] == list(range(1, 31))
    assert [step.tokens_seen for step in history][-1] == 30 * 4 * 16
    assert [int(folder[4:]) for folder in kept if folder.startswith("step")] == [1, 2, 4, 8, 10, 16, 20, 30]
    assert [int(folder[7:]) for folder in kept if folder.startswith("average")] == [5, 6, 8, 10, 12, 15, 19, 24]
    assert [int(folder[4:]) for folder in kept if folder.startswith("step")] == TrainingRun(**SETTINGS).kept_steps()


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


def test_an_average_goes_back_over_its_share_of_the_steps(rows):
    """By hand from every step's weights: of step t a share of 1 / (1 + share t) is new."""
    changes = {"keep_every": 1, "references": References(spacing=1.5, share=0.2)}
    _, kept = run(rows, **changes)
    name, average = "gpt_neox.embed_in.weight", build_model(TrainingRun(**SETTINGS), 17, 16).state_dict()["gpt_neox.embed_in.weight"]
    seen = []
    for step in range(1, 31):
        share = 1 / (1 + 0.2 * step)
        average = (1 - share) * average + share * kept[f"step{step}"][name]
        if f"average{step}" in kept:
            torch.testing.assert_close(kept[f"average{step}"][name], average)
            seen.append(step)
    assert seen == [6, 9, 13, 20]


def test_a_reference_has_seen_no_row_from_its_own_on(rows, tmp_path):
    """Other rows from step 15's on: what was averaged up to it is the same bit for bit, what came later is not."""
    tokens = np.fromfile(rows.path, dtype="<u2").reshape(200, 17)
    tokens[15 * 4 :] = (tokens[15 * 4 :] + 5) % 11
    tokens.tofile(tmp_path / "tokens.bin")
    (_, kept), (_, other) = run(rows), run(Rows(tmp_path / "tokens.bin", 200, 17, 16))
    same = {int(folder[7:]) for folder in kept if folder.startswith("average") and equal(kept[folder], other[folder])}
    assert same == {5, 6, 8, 10, 12, 15}


def test_references_leave_the_training_alone(rows):
    (history, kept), (without, plain) = run(rows), run(rows, references=None)
    assert history == without
    assert not [folder for folder in plain if folder.startswith("average")]
    assert all(equal(plain[folder], kept[folder]) for folder in plain)


def test_steps_in_one_vector_are_those_of_each_parameter_by_itself(rows):
    """Clipping and AdamW of torch on the parameters one by one give the same model, but for rounding.

    A large epsilon, since some gradients, those of the keys' biases, are nothing but rounding.
    """
    settings = TrainingRun(**SETTINGS)
    tokens = torch.from_numpy(rows.read(range(8)).astype("int64"))
    flat, plain = (build_model(settings, 17, 16) for _ in range(2))
    weights = FlatWeights(flat, 0.1)
    groups = [{"params": [p for p in plain.parameters() if (p.ndim > 1) == matrix], "weight_decay": decay} for matrix, decay in ((True, 0.1), (False, 0.0))]
    optimizers = [torch.optim.AdamW(g, lr=0.02, betas=(0.9, 0.95), eps=1e-3) for g in (weights.groups, groups)]
    for _ in range(5):
        weights.gradients.zero_()
        optimizers[1].zero_grad()
        for model in (flat, plain):
            model(input_ids=tokens, labels=tokens).loss.backward()
        weights.clip(0.3)
        norm = torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.3)
        assert norm > 0.3
        for optimizer in optimizers:
            optimizer.step()
    assert len(weights.values) == sum(p.numel() for p in plain.parameters())
    for one, other in zip(flat.parameters(), plain.parameters()):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_two_runs_on_two_threads_are_equal_bit_for_bit(rows):
    """Wide enough for sums to be shared out; the fixture above sets the number back."""
    torch.set_num_threads(2)
    (first, kept), (second, again) = (run(rows, threads=2, hidden_size=64, batch_rows=50, steps=4, warmup_steps=0) for _ in range(2))
    assert first == second
    assert all(equal(kept[folder], again[folder]) for folder in kept)
