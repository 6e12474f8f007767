"""What every training stream gives, and the kinds that a configuration can name.

A new kind is a module in this folder with a function `open_stream(**settings)`, and a line in REGISTRY.
"""

import importlib
from typing import Protocol, runtime_checkable

import numpy as np

from scalebound.errors import InputError


@runtime_checkable
class Stream(Protocol):
    """Fixed-length rows of tokens: the inputs of a row are all tokens but the last, its targets all but the first."""

    rows: int  # ids are 0 to rows - 1, in training order where the order is known
    row_tokens: int  # tokens a row: one more than predictions
    vocab_size: int  # every token id is below it
    unbiased: bool  # whether rows drawn uniformly from [0, rows seen) are an unbiased sample of what a checkpoint saw

    def read(self, ids, resume=None):
        """Tokens [len(ids), row_tokens] of the given row ids, in their order, as uint16 or int32.

        Args:
            ids: integers in any order, with repetitions.
            resume: path of a side file that lets an interrupted read go on; removed at the end. Streams that read
                from a disk ignore it.

        Raises:
            InputError: an id outside [0, rows), or a token id outside the vocabulary.
        """


# kind: module with `open_stream`; imported on use, since some of them import pyarrow or huggingface_hub
REGISTRY = {
    "megatron": "scalebound.streams.megatron",
    "hub_dataset": "scalebound.streams.hub_dataset",
    "parquet": "scalebound.streams.parquet",
}


def open_stream(kind, **settings):
    """The stream of a kind of REGISTRY; `settings` are those of its module's `open_stream`. Raises InputError on an unknown kind."""
    if kind not in REGISTRY:
        raise InputError("stream kind", repr(kind), f"Known kinds: {', '.join(sorted(REGISTRY))}")
    return importlib.import_module(REGISTRY[kind]).open_stream(**settings)


def token_type(vocab_size):
    """The narrowest type of the two that streams use: uint16 where every id fits, else int32."""
    return np.dtype(np.uint16 if vocab_size <= 2**16 else np.int32)


def check_ids(ids, rows, where):
    """Row ids as int64 [m]. Raises InputError when one is no integer or outside [0, rows)."""
    ids = np.asarray(ids)
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise InputError(where, f"row ids of shape {ids.shape} and type {ids.dtype}", "Give a list of integers")
    ids = ids.astype(np.int64)
    outside = ids[(ids < 0) | (ids >= rows)]
    if outside.size:
        raise InputError(where, f"row {outside[0]} of {rows} rows", "Draw rows from the part of the stream that the checkpoint saw")
    return ids


def check_tokens(tokens, vocab_size, where):
    """Raise InputError when a token id is outside [0, vocab_size)."""
    if tokens.size and (int(tokens.max()) >= vocab_size or int(tokens.min()) < 0):
        odd = int(tokens.max()) if int(tokens.max()) >= vocab_size else int(tokens.min())
        raise InputError(where, f"token id {odd}, vocabulary size {vocab_size}", "The stream is damaged, or it is not the one that the model was trained on")
