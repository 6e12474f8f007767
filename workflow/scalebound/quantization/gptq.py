"""GPTQ (Frantar, Ashkboos, Hoefler, Alistarh, "GPTQ", ICLR 2023) for one weight matrix.

Columns are rounded one after the other; the error of each is spread over the columns still to come so that the layer's
output on the calibration inputs moves least. Grids are fixed before the first column is rounded ("static groups"), so
the order of the columns, largest second moment first, need not be stored.
"""

from dataclasses import dataclass

import torch

from scalebound.errors import InputError
from scalebound.quantization import grid
from scalebound.quantization.integers import IntegerTensor, group_width, to_matrix
from scalebound.quantization.rtn import to_integers

BLOCK = 128
ENTRIES = 2**24  # of a matrix that are rounded at once; its rows do not depend on each other
DAMPING_ATTEMPTS = 7


@dataclass(frozen=True)
class Result:
    """The integers, the damping that the Cholesky factorisation took (escalated when larger than asked for), and the share of the
    entries that were rounded by GPTQ; the others are rounded to nearest."""

    tensor: IntegerTensor
    damping: float
    escalated: bool
    share: float = 1.0


def quantize(weights, hessian, bits, group=0, damping=0.01, block=BLOCK):
    """Round `weights` [rows, columns] against `hessian` = sum of x x^T over calibration inputs, [columns, columns].

    A column whose inputs are all zero neither takes up an error nor leaves one: it is rounded to nearest.

    Raises:
        InputError: the Hessian is not finite, or not positive definite even with the largest damping.
    """
    columns = weights.shape[1]
    width = group_width(columns, group)
    weights = weights if weights.dtype == torch.float64 else weights.float()
    scales, zeros = grid.fit(weights, bits, width)
    full = (grid.expand(x, width, columns) for x in (scales, zeros))
    codes, used = _solve(weights, *full, hessian, bits, damping, block)
    return Result(to_integers(codes, scales, zeros, bits, width), used, used > damping)


def quantize_parts(weight, use, moments, bits, group=0, damping=0.01, block=BLOCK):
    """Round a contiguous parameter whose parts are matrices of their own, as the experts of a mixture are.

    `moments` is {products.Part: sum of x x^T over the part's inputs}. Grids are those of the parameter's own rows, whichever way a
    part lies in it. What no input reached is rounded to nearest, as is a part that overlaps with an earlier one.
    """
    matrix = to_matrix(weight.float(), use)
    width = group_width(matrix.shape[1], group)
    scales, zeros = grid.fit(matrix, bits, width)
    full = [grid.expand(x, width, matrix.shape[1]).contiguous() for x in (scales, zeros)]
    codes, done, most = grid.round_to(matrix, *full, bits), torch.zeros_like(matrix, dtype=torch.bool), damping
    for part, moment in moments.items():
        if part.of(done).any() or not moment.any():
            continue
        found, used = _solve(*(part.of(x) for x in (matrix, *full)), moment, bits, damping, block)
        part.of(codes).copy_(found)
        part.of(done).fill_(True)
        most = max(most, used)
    return Result(to_integers(codes, scales, zeros, bits, width), most, most > damping, float(done.double().mean()))


def _solve(weights, scales, zeros, hessian, bits, damping, block):
    """(codes, damping used) of `weights` [rows, columns] on grids of the same shape."""

    def nearest(column, scale, zero):
        found = grid.round_to(column, scale, zero, bits)
        return found, (found - zero) * scale

    hessian = hessian.double()
    order = torch.argsort(hessian.diagonal(), descending=True, stable=True)
    factor, used = inverse_factor(hessian, damping, order)
    factor, codes = factor.to(weights.dtype), torch.empty(weights.shape, dtype=torch.uint8, device=weights.device)
    rows = max(1, ENTRIES // weights.shape[1])
    for target, *ends in zip(*(x.split(rows) for x in (codes, weights, scales, zeros))):
        ordered, *grids = (x[:, order].to(weights.dtype) for x in ends)
        target[:, order] = round_columns(ordered, grids, factor, nearest, block).to(torch.uint8)
    return codes, used


def inverse_factor(hessian, damping, order=None):
    """(U, damping used): upper triangular U with U^T U = (hessian + damping * mean diagonal * I)^-1, in float64, of its columns in `order`.

    The mean is that of the inputs that are not always zero. The damping is multiplied by ten until both factorisations succeed. Beside the
    Hessian two matrices of its size are in memory.
    """
    if not torch.isfinite(hessian).all():
        raise InputError("calibration", "the second moment of a layer's inputs is not finite", "Check the checkpoint's weights")
    diagonal = hessian.diagonal() if order is None else hessian.diagonal()[order]
    live = int((diagonal > 0).sum())
    mean = diagonal.sum() / live if live else 1.0
    for attempt in range(DAMPING_ATTEMPTS):
        used = damping * 10**attempt
        found, failed = torch.linalg.cholesky_ex(_damped(hessian, used * mean, order))
        if failed:
            continue
        found = torch.cholesky_inverse(found)
        found, failed = torch.linalg.cholesky_ex(found, upper=True)
        if not failed:
            return found, used
    raise InputError("calibration", f"Hessian not positive definite even at damping {used}", "Use more calibration windows")


def _damped(hessian, value, order):
    """A copy with `value` added to its diagonal."""
    damped = hessian.clone() if order is None else hessian[order[:, None], order]
    damped.diagonal().add_(value)
    return damped


def round_columns(weights, grids, factor, nearest, block):
    """Codes of `weights` [rows, columns], columns in rounding order; the error of each is spread over those after it.

    `weights` becomes what each weight was just before it was rounded. `grids` are tensors of its shape; nearest(column, its part of each)
    gives a column's codes and what they stand for. Updates are made within a block at once, beyond it block by block.
    """
    codes = torch.empty_like(weights)
    for start in range(0, weights.shape[1], block):
        stop = min(start + block, weights.shape[1])
        # columns as rows: down a column of a large matrix each entry lies in a cache line of its own
        latent, *parts = (x[:, start:stop].T.contiguous() for x in (weights, *grids))
        within, chosen, errors = factor[start:stop, start:stop], torch.empty_like(latent), torch.empty_like(latent)
        for j, grid_of_column in enumerate(zip(*parts)):
            chosen[j], rounded = nearest(latent[j], *grid_of_column)
            errors[j] = (latent[j] - rounded) / within[j, j]
            latent[j + 1 :] -= within[j, j + 1 :, None] * errors[j]
        codes[:, start:stop], weights[:, start:stop] = chosen.T, latent.T
        weights[:, stop:] -= errors.T.contiguous() @ factor[start:stop, stop:]
    return codes
