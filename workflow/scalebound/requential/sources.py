"""What a student is trained on: whole rows of its teacher's, or the teacher's tokens at the places of the stream.

Of whole rows each token is drawn given those that were drawn before, so that a decoder who knows nothing of the stream can follow:
the length is that of a code, and may stand in a bound. Tokens at the places of the stream are drawn given the *real* tokens before them.
A decoder would have to know the stream: a prior of 2^-length over such students is one that the data has a part in, and the union over
hypotheses (theory.md, section 4) asks for one that was fixed before. That length is there to be compared with, and stands in no bound.
"""

import numpy as np
import torch

from scalebound.models.training import rows_of_step, tokens_of_step
from scalebound.oracle.generation import draw_rows, pick, row_uniforms
from scalebound.requential.lessons import logits_of


class WholeRows:
    """Rows as an oracle stream holds them, of a teacher that changes from lesson to lesson; `seed` draws them."""

    whole_rows = True

    def __init__(self, run, rows, seed):
        self.run, self.rows, self.seed, self.sent = run, rows, seed, []

    def batches(self, teacher, student, lesson):
        drawn = torch.from_numpy(draw_rows(teacher, self.uniforms(lesson)).astype(np.int64))
        for batch in drawn.split(self.run.batch_rows):
            yield batch[:, :-1], batch[:, 1:]

    def uniforms(self, lesson):
        """float64 [rows of the lesson, row_tokens]: each row's are its own, whatever the lessons."""
        return np.stack([row_uniforms(self.seed, row, self.rows.row_tokens) for step in lesson for row in rows_of_step(self.run, step)])


class PlacesOfTheStream(WholeRows):
    """A token of the teacher's at each place of the rows that it has read itself."""

    whole_rows = False

    def batches(self, teacher, student, lesson):
        for step, uniforms in zip(lesson, self.uniforms(lesson).reshape(len(lesson), self.run.batch_rows, -1)):
            inputs = tokens_of_step(self.run, self.rows, step)[:, :-1]
            probabilities = torch.softmax(logits_of(teacher, inputs).float(), -1)
            # the first uniform of a row is for its first token, which is given here
            targets = pick(probabilities.flatten(0, 1).numpy(), uniforms[:, 1:].ravel())
            yield inputs, torch.from_numpy(targets).view_as(inputs)
