"""The paper's bound as a sum of terms (Theorem 3.4):

mean R <= Rhat + C log V + Sigma sqrt(C) + smoothing + (Rhat_q - Rhat).
"""

from dataclasses import asdict, dataclass

import numpy as np

from scalebound.bounds import smoothing


@dataclass(frozen=True)
class Decomposition:
    """Terms in nats per token; `smoothing` is exact at alpha = C / (1 + C), `smoothing_sqrt` its upper bound sqrt(2 C)."""

    train_loss: float
    parameters_per_token: float
    loss_variation: float
    smoothing: float
    smoothing_sqrt: float
    quantization_gap: float

    @property
    def bound(self):
        return self._without_smoothing() + self.smoothing

    @property
    def bound_sqrt(self):
        return self._without_smoothing() + self.smoothing_sqrt

    def _without_smoothing(self):
        return self.train_loss + self.parameters_per_token + self.loss_variation + self.quantization_gap

    def as_dict(self):
        return asdict(self)


def decompose(train_loss, quantized_loss, sigma, c, vocab_size):
    """Terms of the paper's bound from losses (nats), Sigma at the closed-form alpha, C and V."""
    return Decomposition(
        train_loss=float(train_loss),
        parameters_per_token=float(c * np.log(vocab_size)),
        loss_variation=float(sigma * np.sqrt(c)),
        smoothing=float(smoothing.smoothing_cost(c)),
        smoothing_sqrt=float(smoothing.smoothing_cost_sqrt(c)),
        quantization_gap=float(quantized_loss - train_loss),
    )
