"""GPTQ (Frantar, Ashkboos, Hoefler, Alistarh, "GPTQ", ICLR 2023) for one weight matrix.

Columns are rounded one after the other; the error of each is spread over the columns still to come so that the layer's
output on the calibration inputs moves least. Grids are fixed before the first column is rounded ("static groups"), so
the order of the columns, largest second moment first, need not be stored.
"""

from dataclasses import dataclass

import torch

from scalebound.errors import InputError
from scalebound.quantization import grid
from scalebound.quantization.integers import IntegerTensor, group_width
from scalebound.quantization.rtn import to_integers

BLOCK = 128
DAMPING_ATTEMPTS = 7


@dataclass(frozen=True)
class Result:
    """The integers, and the damping that the Cholesky factorisation took (escalated when larger than asked for)."""

    tensor: IntegerTensor
    damping: float
    escalated: bool


def quantize(weights, hessian, bits, group=0, damping=0.01, block=BLOCK):
    """Round `weights` [rows, columns] against `hessian` = sum of x x^T over calibration inputs, [columns, columns].

    Raises:
        InputError: the Hessian is not finite, or not positive definite even with the largest damping.
    """
    columns = weights.shape[1]
    width = group_width(columns, group)
    hessian, weights = hessian.double(), weights.clone() if weights.dtype == torch.float64 else weights.float().clone()
    dead = hessian.diagonal() <= 0
    hessian = hessian.clone()
    hessian[dead, dead] = 1
    weights[:, dead] = 0
    scales, zeros = grid.fit(weights, bits, width)
    order = torch.argsort(hessian.diagonal(), descending=True, stable=True)
    factor, used = inverse_factor(hessian[order][:, order], damping)
    full = [grid.expand(x, width, columns)[:, order].to(weights.dtype) for x in (scales, zeros)]
    codes = torch.empty_like(weights)
    codes[:, order] = _round_columns(weights[:, order], *full, factor.to(weights.dtype), bits, block)
    return Result(to_integers(codes, scales, zeros, bits, width), used, used > damping)


def inverse_factor(hessian, damping):
    """(U, damping used): upper triangular U with U^T U = (hessian + damping * mean diagonal * I)^-1, in float64.

    The damping is multiplied by ten until both factorisations succeed.
    """
    if not torch.isfinite(hessian).all():
        raise InputError("calibration", "the second moment of a layer's inputs is not finite", "Check the checkpoint's weights")
    mean, eye = hessian.diagonal().mean(), torch.eye(len(hessian), dtype=hessian.dtype, device=hessian.device)
    for attempt in range(DAMPING_ATTEMPTS):
        used = damping * 10**attempt
        lower, failed = torch.linalg.cholesky_ex(hessian + used * mean * eye)
        if failed:
            continue
        upper, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
        if not failed:
            return upper, used
    raise InputError("calibration", f"Hessian not positive definite even at damping {used}", "Use more calibration windows")


def _round_columns(weights, scales, zeros, factor, bits, block):
    """Codes of `weights` with columns in rounding order; updates within a block at once, beyond it block by block."""
    codes = torch.empty_like(weights)
    for start in range(0, weights.shape[1], block):
        stop = min(start + block, weights.shape[1])
        errors = torch.empty_like(weights[:, start:stop])
        for j in range(start, stop):
            codes[:, j] = grid.round_to(weights[:, j], scales[:, j], zeros[:, j], bits)
            rounded = (codes[:, j] - zeros[:, j]) * scales[:, j]
            error = (weights[:, j] - rounded) / factor[j, j]
            weights[:, j:stop] -= error[:, None] * factor[j, j:stop]
            errors[:, j - start] = error
        weights[:, stop:] -= errors @ factor[start:stop, stop:]
    return codes
