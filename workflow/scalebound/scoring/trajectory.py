"""Which kept checkpoints of a run a trajectory goes through, and which rows are drawn at each."""

import math

import numpy as np

from scalebound.scoring import sampling


def steps_of(run, last, points=None):
    """Kept steps of a config.TrainingRun up to `last`, ascending; with `points`, about as many, evenly spaced in their logarithm.

    The first and the last one stay.
    """
    steps = [step for step in run.kept_steps() if step <= last]
    if points is None or len(steps) <= points:
        return steps
    wanted = np.geomspace(steps[0], steps[-1], points)
    return sorted({min(steps, key=lambda step: abs(math.log(step / w))) for w in wanted})


def draw(run, step, windows, seed):
    """Ids int64 [windows], uniform with replacement from the rows that `step` steps have seen.

    The generator is seeded with (seed, step): no two steps share a draw, and none is one that a seed alone gives.
    """
    return sampling.draw_rows(run.rows_seen(step), windows, (seed, step))
