"""How much of the failure probability a hypothesis and the grids take, in nats per token."""

import math

import numpy as np

from scalebound.errors import InputError


def complexity(code_length_bits, tokens, failure_probability, *grid_sizes):
    """C = (L log 2 + log(prod(grid sizes) / delta)) / n, in nats per token (the paper, Theorem 3.2).

    `code_length_bits` is L(h), `tokens` is n; every grid that is searched after the data was seen pays its size.
    """
    # written so that NaN fails it
    if not (code_length_bits >= 0 and tokens >= 1 and 0 < failure_probability < 1 and all(size >= 1 for size in grid_sizes)):
        raise InputError(
            "complexity",
            f"L={code_length_bits} bits, n={tokens}, delta={failure_probability}, grids {grid_sizes}",
            "L must be non-negative, n and grid sizes at least 1, delta in (0, 1)",
        )
    return (code_length_bits * math.log(2) + math.fsum(math.log(size) for size in grid_sizes) - math.log(failure_probability)) / tokens


def s_grid(points):
    """K: float64 [points], evenly spaced in the open interval (0, 1)."""
    return np.arange(1, points + 1, dtype=np.float64) / (points + 1)


def alpha_grid(points, smallest, largest):
    """G_a: float64 [points], geometrically spaced over [smallest, largest]."""
    return np.geomspace(smallest, largest, points)
