"""Windows of the training stream, drawn uniformly with replacement."""

import numpy as np

from scalebound.errors import InputError


def draw_rows(rows_seen, windows, seed):
    """Ids int64 [windows], uniform over [0, rows_seen) with replacement; the seed is all that they depend on."""
    if rows_seen < 1:
        raise InputError("tokens_seen", f"{rows_seen} rows", "A checkpoint must have seen at least one row of its stream")
    return np.random.Generator(np.random.PCG64(seed)).integers(0, rows_seen, size=windows, dtype=np.int64)


def rows_seen(tokens_seen, row_tokens):
    """Rows behind `tokens_seen` predictions. Raises InputError when they are no whole number of rows."""
    rows, rest = divmod(tokens_seen, row_tokens - 1)
    if rest:
        raise InputError("tokens_seen", f"{tokens_seen}, no multiple of {row_tokens - 1} predictions a row", "Correct the table of checkpoints")
    return rows


def rows_to_draw_from(stream, tokens_seen, ordered=True):
    """Rows of a stream that a checkpoint saw: all of them where they stand for what it saw in an order nobody knows.

    Raises:
        InputError: no whole number of rows, or more than the stream has.
    """
    if not ordered:
        return stream.rows
    seen = rows_seen(tokens_seen, stream.row_tokens)
    if seen > stream.rows:
        remedy = "Correct the table of checkpoints; where rows were read again, give the stream first_pass_rows"
        raise InputError("tokens_seen", f"{tokens_seen} are {seen} rows, the stream has {stream.rows} to draw from", remedy)
    return seen
