"""A message from which a student is trained again, bit for bit, without teacher and without stream.

Minimal random coding (Havasi, Peharz, Hernandez-Lobato, "Minimal Random Code Learning", ICLR 2019, arXiv:1810.00440) of each row, block by
block. Encoder and decoder draw the same 2^bits candidates of a block from the student as it is before the step, given the blocks
before, with randomness that they share; the encoder picks one of them with a probability in proportion to q / p, how much more likely
the teacher is to write it than the student, and sends its number. What comes out is not distributed exactly as the teacher writes, the
less so the more the divergence of a block exceeds `bits`; the message is a code all the same, since the decoder trains on what it says.
For the same reason the encoder may choose as it likes: with choice `best` it takes the candidate whose q / p is largest.

Candidates are picked by running sums of fp32 probabilities, whose last bits are a matter of the machine: the same message trains the
same student where it was written, and elsewhere only if every such sum comes out the same.
"""

import numpy as np
import torch

from scalebound.corpus.tokenizer import END_OF_DOCUMENT_ID
from scalebound.errors import InputError
from scalebound.models.training import Training, rows_of_step
from scalebound.oracle.generation import pick, roomy_cache
from scalebound.quantization.packing import pack, packed_size, unpack


class Coder:
    """A source of `lessons.teach` whose rows are coded; `sent` are the numbers so far, a list of one for each row by block.

    `settings` is a configuration.studies.RandomCode.
    """

    whole_rows = True

    def __init__(self, run, row_tokens, settings):
        self.run, self.row_tokens, self.settings, self.sent = run, row_tokens, settings, []

    def batches(self, teacher, student, lesson):
        for step in lesson:
            yield self._batch(teacher, student, rows_of_step(self.run, step))

    def message(self):
        return pack(np.array(self.sent, dtype=np.uint8).ravel(), self.settings.bits)

    @torch.no_grad()
    def _batch(self, teacher, student, ids):
        written, judge = (_Candidates(model, ids, self.row_tokens, self.settings) for model in (student, teacher))
        private = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.settings.seed, 1, ids[0]])))
        for tokens, own in written.blocks():
            favour = judge.read(tokens) - own
            sampled = self.settings.choice == "sample"
            indices = pick(torch.softmax(favour, 1).numpy(), private.random(len(ids))) if sampled else favour.argmax(1).numpy()
            self.sent.append(indices.tolist())
            written.keep(tokens, indices)
            judge.keep(tokens, indices)
        return written.pair()


def replay(message, run, steps, row_tokens, vocab_size, settings):
    """The student (models.training.Training) that a message describes, given only how it was trained.

    Raises:
        InputError: a message of another length.
    """
    blocks = -(-row_tokens // settings.block)
    count, student = steps * blocks * run.batch_rows, Training(run, row_tokens, vocab_size)
    if len(message) != packed_size(count, settings.bits):
        raise InputError("message", f"{len(message)} bytes, {count} numbers of {settings.bits} bits take {packed_size(count, settings.bits)}", "Make it again")
    for step, chosen in enumerate(unpack(message, count, settings.bits).reshape(steps, blocks, run.batch_rows), start=1):
        student.update(*_decoded(student.model, rows_of_step(run, step), chosen.astype(np.int64), row_tokens, settings))
    return student


@torch.no_grad()
def _decoded(student, ids, chosen, row_tokens, settings):
    written = _Candidates(student, ids, row_tokens, settings)
    for indices, (tokens, _) in zip(chosen, written.blocks(), strict=True):
        written.keep(tokens, indices)
    return written.pair()


class _Candidates:
    """2^bits continuations of each of some rows under one model. `settled` are tokens int64 [rows, length so far]."""

    def __init__(self, model, ids, row_tokens, settings):
        self.model, self.ids, self.row_tokens, self.settings = model, ids, row_tokens, settings
        self.count, self.settled = 2**settings.bits, torch.empty((len(ids), 0), dtype=torch.int64)
        # the end of a document, which is no part of a row: the cache begins with a row's first token
        self._cache, self._unread = None, torch.full((len(ids) * self.count, 1), END_OF_DOCUMENT_ID)

    def blocks(self):
        """Yield (tokens int64 [rows, candidates, length], their log-probabilities [rows, candidates]) of each block; `keep` settles one before the next."""
        while (done := self.settled.shape[1]) < self.row_tokens:
            length = min(self.settings.block, self.row_tokens - done)
            seeds = [np.random.SeedSequence([self.settings.seed, 0, row, done]) for row in self.ids]
            yield self._drawn(np.stack([np.random.Generator(np.random.PCG64(seed)).random((self.count, length)) for seed in seeds]))

    def read(self, tokens):
        """Log-probabilities [rows, candidates] of continuations as `blocks` yields them."""
        flat = tokens.flatten(0, 1)
        given = torch.cat([self._unread, flat[:, :-1]], 1)
        parts = [given] if self._cache is not None else [part for part in (given[:, :1], given[:, 1:]) if part.shape[1]]
        logits = torch.cat([self._after(part) for part in parts], 1)
        return torch.log_softmax(logits.float(), -1).gather(-1, flat[..., None]).sum((1, 2)).view(len(self.ids), -1)

    def keep(self, tokens, indices):
        """Settle the block: all candidates of a row go on from the one of its index."""
        places = torch.from_numpy(np.repeat(np.arange(len(self.ids)) * self.count + indices, self.count))
        self.settled = torch.cat([self.settled, tokens[torch.arange(len(self.ids)), torch.from_numpy(indices)]], 1)
        self._unread = tokens.flatten(0, 1)[places, -1:]
        self._cache.batch_select_indices(places)

    def pair(self):
        """(inputs, targets) of whole rows."""
        return self.settled[:, :-1], self.settled[:, 1:]

    def _drawn(self, uniforms):
        tokens, total = [], torch.zeros(len(self._unread))
        unread = self._unread
        for chances in uniforms.reshape(len(total), -1).T:
            logs = torch.log_softmax(self._after(unread)[:, -1].float(), -1)
            picked = torch.from_numpy(pick(logs.exp().numpy(), chances))
            total += logs.gather(-1, picked[:, None])[:, 0]
            unread = picked[:, None]
            tokens.append(picked)
        shape = (len(self.ids), self.count)
        return torch.stack(tokens, 1).view(*shape, -1), total.view(shape)

    def _after(self, tokens):
        if self._cache is None:
            self._cache = roomy_cache(self.row_tokens)
            return self.model(input_ids=tokens).logits
        return self.model(input_ids=tokens, past_key_values=self._cache, use_cache=True).logits
