"""Teacher and student side by side: the teacher trains on the stream, the student only on tokens that the teacher draws.

The teacher is a run of the workflow, step by step the same as when it was trained alone; what is drawn from are its averaged
weights. The student has its architecture, its first weights and its schedule, and reads as many rows in each step. In a *lesson*,
some steps of both, the teacher goes first, and all batches of the lesson are drawn from the average that it has then.
"""

from dataclasses import astuple, dataclass

import numpy as np
import torch

from scalebound.corpus.tokenizer import END_OF_DOCUMENT_ID
from scalebound.errors import InputError
from scalebound.models.flat_weights import FlatWeights
from scalebound.models.training import Training, build_model, check_rows, tokens_of_step
from scalebound.models.unfinished import NOWHERE
from scalebound.progress import progress


@dataclass(frozen=True)
class Taught:
    """A step of the student: its number (from 1), KL(teacher || student) of its batch (nats), the mean loss per token of the student on
    its batch and of the teacher on its own (nats), all before the step."""

    step: int
    divergence: float
    student_loss: float
    teacher_loss: float


class Averaged:
    """A teacher's averaged weights as a model: `model` predicts with those of the last `take`."""

    def __init__(self, run, rows):
        self.model = build_model(run, rows.row_tokens, rows.vocab_size).eval()
        self._weights = FlatWeights(self.model, 0.0)

    def take(self, training):
        self._weights.values.copy_(training.average)


def lessons(steps, share, least):
    """[range of steps (from 1)]: each is at least `least` long, or that share of the steps before it."""
    found, done = [], 0
    while done < steps:
        last = min(steps, done + max(least, int(share * done)))
        found.append(range(done + 1, last + 1))
        done = last
    return found


def teach(run, steps, rows, settings, source, name, unfinished=NOWHERE):
    """(the trained student, list of `Taught`) after `steps` steps; `settings` has lesson_share and least_lesson (configuration.studies.Requential).

    `source.batches(teacher's model, student's model, lesson)` yields (inputs, targets), int64 [batch_rows, row_tokens - 1], for each step
    of a lesson, asked for when the student has done the steps before. `source.whole_rows`: whether the first tokens are the teacher's too;
    `source.sent`: a list, of what it has to remember. `unfinished`: as of models.training.train, at the ends of lessons.

    Raises:
        InputError: the run keeps no averages or makes several passes, the stream is too short, or a divergence is not finite.
    """
    _check_run(run, rows, name)
    teacher, student = (Training(run, rows.row_tokens, rows.vocab_size) for _ in range(2))
    averaged, taught = Averaged(run, rows), _restored(unfinished.restore(), teacher, student, source)
    left = [lesson for lesson in lessons(steps, settings.lesson_share, settings.least_lesson) if lesson[0] > len(taught)]
    with progress(steps * run.batch_rows, "rows", f"teach a student of {name} on cpu", len(taught) * run.batch_rows) as bar:
        for lesson in left:
            losses = _attend(teacher, rows, lesson)
            averaged.take(teacher)
            batches = source.batches(averaged.model, student.model, lesson)
            for step, teacher_loss, (inputs, targets) in zip(lesson, losses, batches, strict=True):
                expected = logits_of(averaged.model, inputs)
                divergence = _opening_divergence(averaged.model, student.model, len(inputs)) if source.whole_rows else 0.0
                student_loss, predicted = student.update(inputs, targets)
                divergence += kl(expected, predicted)
                if not np.isfinite(divergence):
                    raise InputError(f"student of {name}", f"divergence {divergence} at step {step}", "Lower learning_rate of the run")
                taught.append(Taught(step, divergence, student_loss, teacher_loss))
                bar.update(run.batch_rows)
            bar.set_postfix_str(f"KL of a step {taught[-1].divergence:.1f} nats", refresh=False)
            unfinished.keep(lambda: _so_far(teacher, student, taught, source))
    return student, taught


def _so_far(teacher, student, taught, source):
    return {"teacher": teacher.state(), "student": student.state(), "taught": [astuple(step) for step in taught], "sent": source.sent}


def _restored(state, teacher, student, source):
    """The list of `Taught` of a state as `_so_far` gives it, the rest of which is put in place; of None, that of the beginning."""
    if state is None:
        return []
    teacher.restore(state["teacher"])
    student.restore(state["student"])
    source.sent = state["sent"]
    return [Taught(*step) for step in state["taught"]]


def _check_run(run, rows, name):
    check_rows(run, rows, name)
    if run.references is None or run.epochs > 1:
        found = "no averaged weights" if run.references is None else f"{run.epochs} passes"
        raise InputError(f"training.{name}", found, "A teacher keeps `references` and makes one pass: run the study for other rows")


def _attend(teacher, rows, lesson):
    """The teacher's own steps of a lesson; the mean loss before each (nats)."""
    tokens = (tokens_of_step(teacher.run, rows, step) for step in lesson)
    return [teacher.update(batch[:, :-1], batch[:, 1:])[0] for batch in tokens]


def _opening_divergence(teacher, student, count):
    """KL in nats of the first tokens of `count` rows, which are drawn given the end of a document alone."""
    end = torch.tensor([[END_OF_DOCUMENT_ID]])
    return count * kl(logits_of(teacher, end), logits_of(student, end))


@torch.no_grad()
def logits_of(model, inputs):
    return model(input_ids=inputs).logits


def kl(expected, predicted):
    """Sum over all positions of KL(softmax(expected) || softmax(predicted)) in nats: summed in float64 from fp32 logarithms, logits [..., V]."""
    q, p = (torch.log_softmax(logits.float(), -1) for logits in (expected, predicted))
    return float((q.exp() * (q - p)).sum(-1).double().sum())
