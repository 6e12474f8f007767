"""A stream drawn from a trained model, the oracle, so that the truth about whatever is trained on it is known.

Rows are independent. Row i has uniform numbers of its own, from (seed, i). Its first token is drawn from the oracle's
distribution after the end-of-document token alone; every later one from the oracle's distribution given the row so far,
p(. | x_0 .. x_{k-1}), which the first token heads in place of the end of a document. So the conditional distribution of a
predicted token given all rows before and its own row's prefix is the oracle's on that prefix (theory.md, section 11).

Probabilities are the fp32 softmax of the forward pass with a key-value cache; another order of summation gives the same to
a few units in the last place, which is what "exactly the oracle's" means here. A uniform of 53 bits picks the token from
their running sum in float64.
"""

import functools

import numpy as np
import torch
from transformers.cache_utils import Cache, DynamicLayer

from scalebound.corpus.tokenizer import END_OF_DOCUMENT_ID
from scalebound.progress import progress

# rows of a forward pass. It is part of what determines the stream: fp32 sums may depend on the shape of a batch
BATCH_ROWS = 128


@torch.inference_mode()
def generate(model, rows, row_tokens, seed, description="generate"):
    """Yield uint16 [at most BATCH_ROWS, row_tokens] blocks of rows 0 .. rows - 1 of the stream of `seed`, in order.

    Batches are always whole, and what lies beyond `rows` is left out: each row is computed in the same batch whatever their
    number, so a longer stream begins with every shorter one, bit for bit, on one machine and one thread.
    """
    with progress(rows * row_tokens, "tokens", f"{description} on cpu") as bar:
        for start in range(0, rows, BATCH_ROWS):
            uniforms = np.stack([row_uniforms(seed, row, row_tokens) for row in range(start, start + BATCH_ROWS)])
            block = _draw(model, uniforms)[: rows - start]
            bar.update(block.size)
            yield block


def draw_rows(model, uniforms):
    """uint16 rows of uniforms [rows, row_tokens], in batches of at most BATCH_ROWS; not those of a longer stream bit for bit, as `generate`'s are."""
    with torch.inference_mode():
        return np.concatenate([_draw(model, uniforms[start : start + BATCH_ROWS]) for start in range(0, len(uniforms), BATCH_ROWS)])


def row_uniforms(seed, row, row_tokens):
    """float64 [row_tokens] in [0, 1): what a row is drawn with, from the stream's seed and the row's id alone."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, row]))).random(row_tokens)


def _draw(model, uniforms):
    """Rows uint16 of the shape of `uniforms`, token by token."""
    count, length = uniforms.shape
    tokens, cache = np.empty((count, length), dtype=np.uint16), None
    inputs = torch.full((count, 1), END_OF_DOCUMENT_ID)
    for k in range(length):
        logits = model(input_ids=inputs, past_key_values=cache, use_cache=cache is not None).logits[:, -1]
        tokens[:, k] = pick(torch.softmax(logits.float(), -1).numpy(), uniforms[:, k])
        inputs = torch.from_numpy(tokens[:, k, None].astype(np.int64))
        # the end-of-document token is no part of the row: the cache begins with the row's first token
        cache = roomy_cache(length) if cache is None else cache
    return tokens


def roomy_cache(length):
    """An empty key-value cache with room for rows of `length` tokens."""
    return Cache(layer_class_to_replicate=functools.partial(_Room, length))


class _Room(DynamicLayer):
    """Keys and values of one layer, in room for a whole row: growing them by concatenation took three quarters of the time."""

    def __init__(self, length):
        super().__init__()
        self.length = length

    def lazy_initialization(self, key_states, value_states):
        super().lazy_initialization(key_states, value_states)
        self.room = tuple(states.new_empty((*states.shape[:2], self.length, states.shape[3])) for states in (key_states, value_states))

    def update(self, key_states, value_states, *_, **__):
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, added = self.get_seq_length(), key_states.shape[2]
        for room, states in zip(self.room, (key_states, value_states)):
            room[:, :, start : start + added] = states
        self.keys, self.values = (room[:, :, : start + added] for room in self.room)
        return self.keys, self.values

    def batch_select_indices(self, indices):
        if self.is_initialized:
            length, self.room = self.get_seq_length(), tuple(room[indices] for room in self.room)
            self.keys, self.values = (room[:, :, :length] for room in self.room)


def pick(probabilities, uniforms):
    """Ids int64 [count] of probabilities [count, V] by the inverse of their running sum at uniforms [count] in [0, 1)."""
    sums = np.cumsum(probabilities, axis=1, dtype=np.float64)
    wanted = uniforms * sums[:, -1]
    # rounding can carry `wanted` to the last sum; a token without probability is never picked
    places = (sums <= wanted[:, None]).sum(axis=1)
    return np.where(wanted < sums[:, -1], places, probabilities.shape[1] - 1 - (probabilities[:, ::-1] > 0).argmax(axis=1))
