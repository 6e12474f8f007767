"""Teacher and student side by side: the teacher is the run, the student sees nothing but what was drawn."""

import numpy as np
import pytest
import torch
from interrupted import ended_and_resumed

from scalebound.configuration.studies import Requential
from scalebound.errors import InputError
from scalebound.models.training import Training, train
from scalebound.oracle.generation import draw_rows, row_uniforms
from scalebound.requential import lessons
from scalebound.requential.sources import PlacesOfTheStream, WholeRows

SETTINGS = Requential(least_lesson=3)


class Watched:
    """A source that keeps the teacher that each lesson is drawn from, and what was drawn."""

    def __init__(self, source):
        self.source, self.whole_rows, self.sent, self.teachers, self.pairs = source, source.whole_rows, source.sent, [], []

    def batches(self, teacher, student, lesson):
        self.teachers.append({name: p.detach().clone() for name, p in teacher.named_parameters()})
        for pair in self.source.batches(teacher, student, lesson):
            self.pairs.append(pair)
            yield pair


def taught(run, rows, kind=WholeRows, steps=40, settings=SETTINGS):
    source = Watched(kind(run, rows, settings.seed))
    return *lessons.teach(run, steps, rows, settings, source, "x"), source


def test_lessons_are_all_steps_once_and_grow_with_the_steps_so_far():
    found = lessons.lessons(1000, 0.02, 8)
    assert [step for lesson in found for step in lesson] == list(range(1, 1001))
    assert len(found[0]) == 8
    assert all(len(lesson) == max(8, int(0.02 * (lesson[0] - 1))) for lesson in found[:-1])


def test_the_teacher_is_the_run_with_its_averages(run, rows):
    """Averages of steps that end a lesson are those that training keeps, and losses those of its history."""
    settings = run(references={"spacing": 1.2, "share": 0.05})
    history, averages = train(settings, rows, lambda *_: None)
    _, steps, source = taught(settings, rows)
    ends = {lesson[-1]: k for k, lesson in enumerate(lessons.lessons(40, SETTINGS.lesson_share, SETTINGS.least_lesson))}
    shared = sorted(set(ends) & set(averages))
    assert len(shared) >= 3
    for step in shared:
        assert all(torch.equal(source.teachers[ends[step]][name], value) for name, value in averages[step].items())
    assert [step.teacher_loss for step in steps] == [step.loss for step in history]


def test_a_student_learns_what_its_teacher_has_learned(run, rows):
    student, steps, _ = taught(run(steps=90, references={"spacing": 1.2}), rows, steps=90)
    first, last = ([step.divergence for step in part] for part in (steps[10:30], steps[-20:]))
    assert np.mean(last) < 0.5 * np.mean(first)
    tokens = torch.from_numpy(rows.read(range(100)).astype("int64"))
    guess = lessons.logits_of(student.model, tokens[:, :-1]).argmax(-1)[:, 2:]
    assert (guess == tokens[:, 3:]).float().mean() > 0.9


def test_a_student_of_whole_rows_sees_no_token_of_the_stream(run, rows):
    """What it was trained on is what the teacher of the lesson writes by the row's own uniforms, and it is trained on nothing else."""
    settings = run()
    student, _, source = taught(settings, rows)
    again, model = Training(settings, rows.row_tokens, rows.vocab_size), lessons.Averaged(settings, rows).model
    for weights, lesson in zip(source.teachers, lessons.lessons(40, SETTINGS.lesson_share, SETTINGS.least_lesson)):
        model.load_state_dict(weights, strict=False)
        ids = range(2 * (lesson[0] - 1), 2 * lesson[-1])
        drawn = torch.from_numpy(draw_rows(model, np.stack([row_uniforms(SETTINGS.seed, row, 9) for row in ids])).astype("int64"))
        for batch in drawn.split(2):
            again.update(batch[:, :-1], batch[:, 1:])
    assert torch.equal(again.weights.values, student.weights.values)


def test_at_the_places_of_the_stream_inputs_are_real_and_targets_are_drawn(run, rows):
    _, _, source = taught(run(), rows, PlacesOfTheStream)
    inputs, targets = (torch.cat(parts).numpy() for parts in zip(*source.pairs))
    real = rows.read(range(80)).astype("int64")
    assert np.array_equal(inputs, real[:, :-1])
    assert 0.02 < (targets == real[:, 1:]).mean() < 0.98


@pytest.mark.parametrize("kind", [WholeRows, PlacesOfTheStream])
@pytest.mark.parametrize("states", [1, 7])
def test_lessons_whose_process_was_ended_go_on_to_the_same_student(run, rows, tmp_path, monkeypatch, kind, states):
    settings = run()
    work = lambda unfinished: lessons.teach(settings, 40, rows, SETTINGS, kind(settings, rows, 5), "x", unfinished)  # noqa: E731
    (student, steps), own = ended_and_resumed(monkeypatch, tmp_path, work, states)
    undisturbed, all_steps = lessons.teach(settings, 40, rows, SETTINGS, kind(settings, rows, 5), "x")
    assert own == len(lessons.lessons(40, SETTINGS.lesson_share, SETTINGS.least_lesson)) - states
    assert steps == all_steps
    assert torch.equal(student.weights.values, undisturbed.weights.values)


def test_divergence_is_that_of_the_distributions(run, rows):
    expected, predicted = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(1)), torch.zeros(2, 5, 8)
    q = torch.distributions.Categorical(logits=expected.double())
    wanted = torch.distributions.kl_divergence(q, torch.distributions.Categorical(logits=predicted.double())).sum()
    assert lessons.kl(expected, predicted) == pytest.approx(float(wanted), rel=1e-5)
    assert lessons.kl(expected, expected) == 0


def test_the_first_tokens_of_whole_rows_are_counted(run, rows):
    """A step's divergence is that of all tokens of its rows, the first given the end of a document."""
    settings = run(initializer_range=0.5)
    source = Watched(WholeRows(settings, rows, 5))
    _, steps = lessons.teach(settings, 3, rows, SETTINGS, source, "x")
    teacher, student = lessons.Averaged(settings, rows).model, Training(settings, rows.row_tokens, rows.vocab_size)
    teacher.load_state_dict(source.teachers[0], strict=False)
    inputs, targets = source.pairs[0]
    whole = [torch.cat([torch.zeros(2, 1, dtype=torch.int64), inputs], 1)[:, :1], inputs]
    wanted = sum(lessons.kl(lessons.logits_of(teacher, part), lessons.logits_of(student.model, part)) for part in whole)
    assert steps[0].divergence == pytest.approx(wanted, rel=1e-5)
    assert targets.shape == inputs.shape


@pytest.mark.parametrize(("changes", "message"), [({"references": None}, "no averaged weights"), ({"epochs": 2}, "2 passes"), ({"steps": 4000}, "8000 rows")])
def test_a_run_that_cannot_teach_is_refused(run, rows, changes, message):
    with pytest.raises(InputError, match=message):
        taught(run(**changes), rows)
