"""Uniform asymmetric grids: one scale and one zero point per row and group of columns, fitted before any rounding."""

import torch

from scalebound.errors import InputError

SMALLEST_SCALE = 6e-8  # smallest positive float16
LARGEST_SCALE = 65504.0
SHRINKS = [1 - k / 50 for k in range(40)]
ERROR_NORM = 2.4  # of the clipping search, as in the GPTQ reference code
MARGIN = 1.01  # by which a bound in float32 has to be larger
# entries that are looked at at once: on a CPU what its cache holds, as the search passes over them hundreds of times
ENTRIES = {"cpu": 2**17, "cuda": 2**26}
ROWS = 64  # a part has a multiple of so many, so that its rows' sums are added up as those of the whole matrix are


def fit(weights, bits, group):
    """(scales, zeros), both float32 [rows, groups], for `weights` [rows, columns].

    The range of each group is shrunk to where the rounding error is least. Scales are rounded to float16 here, before
    any weight is, so that what is stored is what was used; zeros are integers in [0, 2**bits).

    Raises:
        InputError: a weight is not finite, or so large that no float16 scale reaches it.
    """
    if not torch.isfinite(weights).all():
        raise InputError("weights", "a weight is NaN or infinite", "Check the checkpoint's weights")
    largest = max(abs(float(end)) for end in torch.aminmax(weights)) if weights.numel() else 0.0
    if 2 * largest / (2**bits - 1) > LARGEST_SCALE:
        raise InputError("weights", f"a weight of {largest:g} needs a scale beyond float16 at {bits} bits", "Check the checkpoint's weights, or use more bits")
    found = [[torch.cat(ends) for ends in zip(*(_fit_group(rows, bits) for rows in in_parts(part)))] for part in weights.float().split(group, dim=1)]
    return torch.stack([s for s, _ in found], 1), torch.stack([z for _, z in found], 1)


def in_parts(weights):
    """`weights` [rows, columns] as views of adjacent rows, in the order of the rows, of about ENTRIES each."""
    rows = ENTRIES[weights.device.type] // max(1, weights.shape[1])
    return weights.split(max(ROWS, rows // ROWS * ROWS))


def round_to(weights, scales, zeros, bits):
    """Codes (same shape as weights, as floats) of the grid points nearest to `weights`."""
    return (weights / scales).round_().add_(zeros).clamp_(0, 2**bits - 1)


def expand(parameters, group, columns):
    """[rows, groups] to [rows, columns]; a view where a row has one group."""
    return parameters.expand(-1, columns) if parameters.shape[1] == 1 else parameters.repeat_interleave(group, dim=1)[:, :columns]


def _fit_group(weights, bits):
    low, high = weights.amin(1).clamp(max=0), weights.amax(1).clamp(min=0)
    best = torch.full_like(low, torch.inf)
    scales, zeros = torch.ones_like(low), torch.zeros_like(low)
    for shrink in SHRINKS:
        s, z = _grid(low * shrink, high * shrink, bits)
        # in place: of so many passes, those over new memory would take most of the time
        errors = round_to(weights, s[:, None], z[:, None], bits).sub_(z[:, None]).mul_(s[:, None]).sub_(weights).abs_()
        if (_least(errors) > best * MARGIN).all():
            continue
        error = errors.pow_(ERROR_NORM).sum(1)
        better = error < best
        best, scales, zeros = torch.where(better, error, best), torch.where(better, s, scales), torch.where(better, z, zeros)
    return scales, zeros


def _least(errors):
    """A lower bound [rows] on the sums of powers of `errors`, by the inequality of power means: squares cost a tenth of them."""
    return errors.square().sum(1).pow(ERROR_NORM / 2) * errors.shape[1] ** (1 - ERROR_NORM / 2)


def _grid(low, high, bits):
    levels = 2**bits - 1
    scales = ((high - low) / levels).half().float().clamp(min=SMALLEST_SCALE).half().float()
    return scales, torch.round(-low / scales).clamp(0, levels)
