"""Lanczos' recurrence with full reorthogonalisation, in float64 whatever the products are computed in.

Without it the basis loses orthogonality as soon as an outer eigenvalue has converged, and copies of that eigenvalue
spoil the quadrature (Ghorbani, Krishnan, Xiao, "An investigation into neural net optimization via Hessian eigenvalue
density", ICML 2019, appendix).
"""

from dataclasses import dataclass

import torch

from scalebound.errors import InputError

# a residual this small beside the operator is rounding: the vectors so far span an invariant subspace
BREAKDOWN = 1e-12


@dataclass(frozen=True)
class Recurrence:
    """Diagonal `alpha` [k] and off-diagonal `beta` [k] of the tridiagonal matrix; the last beta is the norm of the residual."""

    alpha: list
    beta: list


def lanczos(product, start, steps):
    """At most `steps` steps of a symmetric operator, `product(float64 vector) -> vector`, from the torch vector `start` [n].

    Raises:
        InputError: a product is not finite.
    """
    steps = min(steps, len(start))
    basis = torch.empty((steps, len(start)), dtype=torch.float64, device=start.device)
    basis[0] = start.double() / start.double().norm()
    alpha, beta = [], []
    for k in range(steps):
        image = product(basis[k]).double()
        if not torch.isfinite(image).all():
            raise InputError("curvature", f"a product of the operator is not finite at step {k + 1}", "Check the weights of the checkpoint")
        size, known = float(image.norm()), basis[: k + 1]
        alpha.append(float(image @ basis[k]))
        # twice is enough (Kahan): the second pass takes away what rounding left in the first
        for _ in range(2):
            image = image - known.T @ (known @ image)
        beta.append(float(image.norm()))
        if k + 1 == steps or beta[-1] <= BREAKDOWN * size:
            break
        basis[k + 1] = image / beta[-1]
    return Recurrence(alpha, beta)
