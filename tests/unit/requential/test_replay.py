"""A student out of a message: the same bits, from nothing else; candidates are what the student says that they are."""

import inspect

import numpy as np
import pytest
import torch
from interrupted import ended_and_resumed

from scalebound.configuration.studies import RandomCode, Requential
from scalebound.errors import InputError
from scalebound.models.training import build_model
from scalebound.requential.lessons import teach
from scalebound.requential.replay import Coder, _Candidates, replay

SETTINGS = Requential(least_lesson=3)


def sent(run, rows, **code):
    code = RandomCode(**{"bits": 2, "block": 4, "choice": "best"} | code)
    coder = Coder(run, rows.row_tokens, code)
    student, steps = teach(run, 20, rows, SETTINGS, coder, "x")
    return student, steps, coder.message(), code


@pytest.mark.parametrize("choice", ["sample", "best"])
@pytest.mark.parametrize(("bits", "block"), [(1, 9), (3, 2)])
def test_the_message_trains_the_same_student_bit_for_bit(run, rows, choice, bits, block):
    student, _, message, code = sent(run(), rows, choice=choice, bits=bits, block=block)
    # 20 steps of 2 rows of 9 tokens
    assert len(message) == -(-20 * 2 * -(-9 // block) * bits // 8)
    again = replay(message, run(), 20, 9, 8, code)
    assert torch.equal(again.weights.values, student.weights.values)


@pytest.mark.parametrize("choice", ["sample", "best"])
def test_a_sender_whose_process_was_ended_goes_on_to_the_same_message(run, rows, tmp_path, monkeypatch, choice):
    code = RandomCode(bits=2, block=4, choice=choice)

    def work(unfinished):
        coder = Coder(run(), rows.row_tokens, code)
        teach(run(), 20, rows, SETTINGS, coder, "x", unfinished)
        return coder.message()

    assert ended_and_resumed(monkeypatch, tmp_path, work, 3)[0] == sent(run(), rows, bits=2, block=4, choice=choice)[2]


def test_the_decoder_is_given_neither_teacher_nor_stream():
    assert list(inspect.signature(replay).parameters) == ["message", "run", "steps", "row_tokens", "vocab_size", "settings"]


def test_another_message_trains_another_student(run, rows):
    student, _, message, code = sent(run(), rows)
    for place in (0, len(message) // 2, len(message) - 1):
        altered = bytearray(message)
        altered[place] ^= 1
        assert not torch.equal(replay(bytes(altered), run(), 20, 9, 8, code).weights.values, student.weights.values)


@pytest.mark.parametrize("cut", [-1, 1])
def test_a_message_of_another_length_is_refused(run, rows, cut):
    _, _, message, code = sent(run(), rows)
    with pytest.raises(InputError, match="numbers of 2 bits"):
        replay(message[:cut] if cut < 0 else message + b"x", run(), 20, 9, 8, code)


def test_a_student_of_a_message_learns_from_its_teacher(run, rows):
    _, steps, _, _ = sent(run(), rows, bits=4, block=9)
    _, idle, _, _ = sent(run(), rows, bits=1, block=9, seed=5)
    assert steps[-1].divergence < 0.8 * idle[-1].divergence


@pytest.fixture
def models(run):
    """(student, teacher) far from uniform, with 8 tokens and rows of 6."""
    return pair_of(run, 0.7)


def pair_of(run, scale):
    return [build_model(run(initializer_range=scale, seed=seed), 6, 8).eval() for seed in (1, 2)]


def log_probability(model, row):
    """Of a whole row, its first token given the end of a document alone, later ones given the row so far."""
    with torch.no_grad():
        logits = torch.cat([model(input_ids=torch.tensor([[0]])).logits[0], model(input_ids=row[None, :-1]).logits[0]])
    return float(torch.log_softmax(logits.double(), -1).gather(-1, row[:, None]).sum())


@torch.no_grad()
def test_log_probabilities_are_those_of_plain_forward_passes(models):
    """Of every candidate of every block, by the model that draws them and by another one, whichever was settled before."""
    code = RandomCode(bits=3, block=2, choice="best")
    own, other = (_Candidates(model, [4, 9], 6, code) for model in models)
    for k, (tokens, drawn) in enumerate(own.blocks()):
        judged = other.read(tokens)
        for model, found in zip(models, (drawn, judged)):
            for row in range(2):
                before = own.settled[row]
                known = log_probability(model, before) if len(before) else 0.0
                for candidate in (0, 5):
                    whole = torch.cat([before, tokens[row, candidate]])
                    assert float(found[row, candidate]) == pytest.approx(log_probability(model, whole) - known, abs=1e-4)
        for side in (own, other):
            side.keep(tokens, np.array([k, 7 - k]))
    assert own.settled.shape == (2, 6)


@torch.no_grad()
def test_with_enough_candidates_sampled_tokens_are_distributed_as_the_teacher_writes(run):
    """The first token of many rows, by 256 candidates, against both distributions."""
    student, teacher = pair_of(run, 0.4)
    coder = Coder.__new__(Coder)
    coder.settings, coder.row_tokens, coder.sent = RandomCode(bits=8, block=1, choice="sample"), 1, []
    first = np.concatenate([_first_tokens(coder, teacher, student, range(start, start + 50)) for start in range(0, 2000, 50)])
    found = np.bincount(first, minlength=8) / len(first)
    q, p = (torch.softmax(model(input_ids=torch.tensor([[0]])).logits[0, 0].double(), -1).numpy() for model in (teacher, student))
    assert abs(found - q).sum() / 2 < 0.04
    assert abs(found - p).sum() / 2 > 0.2


def _first_tokens(coder, teacher, student, ids):
    coder._batch(teacher, student, ids)
    written = _Candidates(student, ids, 1, coder.settings)
    tokens, _ = next(written.blocks())
    return tokens[np.arange(len(ids)), np.array(coder.sent[-1]), 0].numpy()


@torch.no_grad()
def test_the_best_candidate_is_the_one_that_favours_the_teacher_most(models):
    student, teacher = models
    code = RandomCode(bits=4, block=6, choice="best")
    coder = Coder.__new__(Coder)
    coder.settings, coder.row_tokens, coder.sent = code, 6, []
    coder._batch(teacher, student, range(3))
    tokens, _ = next(_Candidates(student, range(3), 6, code).blocks())
    for row, index in enumerate(coder.sent[0]):
        favour = [log_probability(teacher, candidate) - log_probability(student, candidate) for candidate in tokens[row]]
        assert favour[index] == pytest.approx(max(favour), abs=1e-4)
