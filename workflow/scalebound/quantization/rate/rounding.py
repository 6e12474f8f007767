"""GPTQ on an unbounded uniform grid (see quantization/gptq.py): the step is the knob, an entropy coder sets the price."""

import torch

from scalebound.quantization.gptq import inverse_factor

BLOCK = 128


def round_matrix(weights, hessian, steps_of, damping, block=BLOCK):
    """(codes, latent, steps), all float64 [rows, columns], for `weights` [rows, columns] and `hessian` [columns, columns] per token.

    `steps_of` maps the columns' conditional deviations (the diagonal of the inverse Hessian's Cholesky factor, in the
    columns' own order) to steps [rows, columns]. `latent` is each weight just before it was rounded, errors of earlier
    columns fed into it: where fine-tuning starts from.
    """
    hessian = hessian.double().clone()
    dead = hessian.diagonal() <= 0
    hessian[dead, dead] = hessian.diagonal().mean() * 1e-4 + 1e-12
    order = torch.argsort(hessian.diagonal(), descending=True, stable=True)
    factor, _ = inverse_factor(hessian[order][:, order], damping)
    deviations = torch.empty(len(order), dtype=torch.float64, device=factor.device)
    deviations[order] = factor.diagonal()
    steps = steps_of(deviations)
    codes, latent = (torch.empty_like(steps) for _ in range(2))
    codes[:, order], latent[:, order] = _round_columns(weights.double()[:, order], steps[:, order], factor, block)
    return codes, latent, steps


def _round_columns(weights, steps, factor, block):
    codes, latent = torch.empty_like(weights), torch.empty_like(weights)
    for start in range(0, weights.shape[1], block):
        stop = min(start + block, weights.shape[1])
        errors = torch.empty_like(weights[:, start:stop])
        for j in range(start, stop):
            latent[:, j] = weights[:, j]
            codes[:, j] = torch.round(weights[:, j] / steps[:, j])
            error = (weights[:, j] - codes[:, j] * steps[:, j]) / factor[j, j]
            weights[:, j:stop] -= error[:, None] * factor[j, j:stop]
            errors[:, j - start] = error
        weights[:, stop:] -= errors @ factor[start:stop, stop:]
    return codes, latent
