"""Round-to-nearest: every weight to its nearest grid point."""

import torch

from scalebound.quantization import grid
from scalebound.quantization.integers import IntegerTensor, group_width


def quantize(weights, bits, group):
    """IntegerTensor of `weights` (torch, [rows, columns]); `group` columns share a scale, 0 for one scale per row."""
    columns = weights.shape[1]
    width = group_width(columns, group)
    scales, zeros = grid.fit(weights, bits, width)
    parts = (grid.in_parts(x) for x in (weights, *(grid.expand(x, width, columns) for x in (scales, zeros))))
    codes = torch.cat([grid.round_to(rows.float(), *ends, bits).to(torch.uint8) for rows, *ends in zip(*parts)])
    return to_integers(codes, scales, zeros, bits, width)


def to_integers(codes, scales, zeros, bits, width):
    """Torch grids and codes as an IntegerTensor in numpy."""
    as_bytes = (x.to("cpu", torch.uint8).numpy() for x in (codes, zeros))
    integer_codes, integer_zeros = as_bytes
    return IntegerTensor(integer_codes, scales.to("cpu", torch.float16).numpy(), integer_zeros, bits, width)
