"""GPTQ on an unbounded uniform grid (see quantization/gptq.py): the step is the knob, an entropy coder sets the price."""

from dataclasses import dataclass

import torch

from scalebound.quantization.gptq import BLOCK, inverse_factor, round_columns


@dataclass(frozen=True)
class Order:
    """The order of the columns, largest second moment first, and the Cholesky factor U of the inverse Hessian in that order."""

    columns: torch.Tensor
    factor: torch.Tensor

    @classmethod
    def of(cls, hessian, damping):
        """For `hessian` [columns, columns] per token; a column without inputs comes last, with the largest deviation."""
        hessian = hessian.double()
        order = torch.argsort(hessian.diagonal(), descending=True, stable=True)
        return cls(order, inverse_factor(hessian, damping, order)[0])

    def deviations(self):
        """The conditional deviation of each column's input, the diagonal of U, in the columns' own order."""
        found = torch.empty(len(self.columns), dtype=torch.float64, device=self.factor.device)
        found[self.columns] = self.factor.diagonal()
        return found

    def round(self, weights, steps, block=BLOCK):
        """(codes, latent), float64 [rows, columns], of `weights` on grids of `steps`, both [rows, columns].

        `latent` is each weight just before it was rounded, errors of earlier columns fed into it: where fine-tuning starts from.
        """
        codes, latent = (torch.empty(steps.shape, dtype=torch.float64, device=self.factor.device) for _ in range(2))
        order = self.columns
        ordered = weights.double()[:, order]
        codes[:, order], latent[:, order] = round_columns(ordered, [steps[:, order]], self.factor, _nearest, block), ordered
        return codes, latent


def _nearest(column, step):
    codes = torch.round(column / step)
    return codes, codes * step
