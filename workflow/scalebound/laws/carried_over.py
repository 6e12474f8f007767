"""The laws carried over to sizes that nobody has measured here, with what is assumed for each stated in its name.

A law gives the loss, and the information per token K / D ~ beta / (1 - beta) B D^-beta that stands for the code length; the
loss variation is the family's at its largest size (for the family's own law), or the published one of Pythia.
"""

import numpy as np
import pandas as pd

from scalebound.laws import chinchilla
from scalebound.laws.gap import gap_at, published_sigma

TERMS = ("parameters_per_token", "loss_variation", "smoothing")


def laws_of(table, own):
    """{name: Law} of scaling_law.csv without those of beta >= 1, whose information is infinite; `own` first."""
    laws = {row["law"]: chinchilla.Law(**{name: float(row[name]) for name in chinchilla.CONSTANTS}) for _, row in table.iterrows()}
    return {name: law for name, law in sorted(laws.items(), key=lambda pair: pair[0] != own) if law.beta < 1}


def information_per_token(law, tokens):
    """C = K / D in nats per token; what the grids and the failure probability add is nothing at these D."""
    return law.information(tokens) / np.asarray(tokens, dtype=np.float64)


def nominal_per_token(bits, parameters, tokens):
    """C = b N log 2 / D in nats per token: the paper's recipe."""
    return bits * np.log(2) * np.asarray(parameters, dtype=np.float64) / np.asarray(tokens, dtype=np.float64)


def predicted(law, c, parameters, tokens, sigma, vocab_size):
    """Data frame {n_params, n_tokens, tokens_per_param, C, sigma, loss, three terms, gap, bound}, nats per token, one row a model."""
    parameters, tokens = (np.asarray(x, dtype=np.float64) for x in (parameters, tokens))
    gap, loss = gap_at(c, sigma, vocab_size), law.loss(parameters, tokens)
    rows = {"n_params": parameters, "n_tokens": tokens, "tokens_per_param": tokens / parameters, "C": c, "sigma": sigma, "loss": loss}
    rows |= {f"term_{name}": getattr(gap, name) for name in TERMS}
    return pd.DataFrame(rows | {"gap": gap.total, "bound": loss + gap.total})


def assumed(is_own, largest, parameters, published_vocab_size):
    """(Sigma [models] in nats, V) that go with a law: of the family's largest model for its own, the published ones for others."""
    if is_own:
        return np.full(len(parameters), float(largest["sigma"])), int(largest["vocab_size"])
    return published_sigma(parameters), published_vocab_size
