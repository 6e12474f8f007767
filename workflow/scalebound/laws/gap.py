"""The gap of the paper's bound that a code length per token implies (theory.md, sections 5 and 9), in nats per token."""

from dataclasses import dataclass

import numpy as np

from scalebound.bounds import smoothing

# Finzi et al. (ICLR 2025), from the paper's public review record: 0.27 + 8337 N^-0.54 over Pythia 70m to 6.9b on the Pile
PUBLISHED_SIGMA, PUBLISHED_SIGMA_RANGE = (0.27, 8337, 0.54), (70 * 10**6, 69 * 10**8)


@dataclass(frozen=True)
class Gap:
    """Terms above the training loss, without what quantization adds: C log V, Sigma sqrt(C), smoothing at alpha = C / (1 + C)."""

    parameters_per_token: float
    loss_variation: float
    smoothing: float

    @property
    def total(self):
        return self.parameters_per_token + self.loss_variation + self.smoothing


def gap_at(c, sigma, vocab_size):
    """`Gap` at C nats per token with loss variation Sigma (nats) over V tokens; arrays broadcast."""
    c = np.asarray(c, dtype=np.float64)
    return Gap(c * np.log(vocab_size), sigma * np.sqrt(c), smoothing.smoothing_cost(c))


def published_sigma(parameters):
    """Loss variation of Pythia on the Pile, nats: PUBLISHED_SIGMA's constant + factor N^-exponent."""
    constant, factor, exponent = PUBLISHED_SIGMA
    return constant + factor * np.asarray(parameters, dtype=np.float64) ** -exponent


@dataclass(frozen=True)
class PowerLaw:
    """factor * D^-exponent through measured points, by least squares of logarithms; `error` is the exponent's standard error."""

    factor: float
    exponent: float
    error: float


def fit_power_law(tokens, gaps):
    """`PowerLaw` of gaps (nats, positive, [points]) against D; None with fewer than three distinct D."""
    x, y = np.log(np.asarray(tokens, dtype=float)), np.log(np.asarray(gaps, dtype=float))
    if len(np.unique(x)) < 3:
        return None
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    residual = y - y.mean() - slope * centred
    error = float(np.sqrt(residual @ residual / (len(x) - 2) / (centred @ centred)))
    return PowerLaw(float(np.exp(y.mean() - slope * x.mean())), -slope, error)
