"""The scores of a trajectory back as arrays: one row a token in the file, one row a window in memory, step by step."""

from dataclasses import dataclass

import numpy as np

from scalebound.artifacts.parquet import identity_of, read_parquet
from scalebound.errors import InputError

COLUMNS = ("nll", "entropy", "quantized_nll", "quantized_entropy")


@dataclass(frozen=True)
class StepScores:
    """Scores of one kept checkpoint.

    rows: ids int64 [windows] in the stream. nll, entropy, of the checkpoint, and quantized_nll, quantized_entropy:
    float64 [windows, positions], in nats.
    """

    step: int
    rows: np.ndarray
    nll: np.ndarray
    entropy: np.ndarray
    quantized_nll: np.ndarray
    quantized_entropy: np.ndarray


def read_trajectory(path):
    """([StepScores] by ascending step, identity).

    Raises:
        InputError: unreadable, or not one value for every position of every window of every step, in order.
    """
    table = read_parquet(path, "score-trajectory")
    try:
        places = [table[name].to_numpy() for name in ("step", "window", "row", "position")]
        values = [table[name].to_numpy().astype(np.float64) for name in COLUMNS]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"its columns are not step, window, row, position, {', '.join(COLUMNS)} ({error})", "Score the trajectory again") from None
    (steps, starts), length = np.unique(places[0], return_index=True), int(places[3].max(initial=-1)) + 1
    ends = np.append(starts[1:], len(places[0]))
    if not length or np.any(np.diff(places[0]) < 0) or np.any((ends - starts) % length):
        raise InputError(path, f"{table.num_rows} rows of {len(steps)} steps and {length} positions", "Score the trajectory again")
    cuts = [slice(start, end) for start, end in zip(starts, ends)]
    return [_step(path, step, [x[cut] for x in (*places[1:], *values)], length) for step, cut in zip(steps, cuts)], identity_of(table, path)


def _step(path, step, columns, length):
    window, row, position, *values = columns
    count = np.arange(len(window))
    rows = row.reshape(-1, length)
    if not (np.array_equal(window, count // length) and np.array_equal(position, count % length) and (rows == rows[:, :1]).all()):
        raise InputError(path, f"windows, rows or positions of step {step} out of order", "Score the trajectory again")
    return StepScores(int(step), rows[:, 0].astype(np.int64), *(value.reshape(-1, length) for value in values))
