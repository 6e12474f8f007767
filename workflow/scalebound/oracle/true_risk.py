"""The true conditional risk on an oracle stream: not a sample mean but the sum over the vocabulary, position by position.

At position k of a row with prefix x the oracle draws token v with probability p(v | x), so the risk that a bound is about is
R_k = sum_v p(v | x) * (-log q(v | x)) for the model q (theory.md, sections 1 and 11). Logits are fp32 of a forward pass over
whole rows; what follows them is float64.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from scalebound.progress import progress

TOKENS_PER_BATCH = 512  # of V float64 each: larger blocks leave the cache and are slower


@dataclass(frozen=True)
class Means:
    """Means over positions, in nats per token, with the loss of the tokens that were drawn beside each risk.

    entropy: of the oracle, the least risk there is. oracle_loss: its loss; oracle_standard_error: of that loss as an estimate of
    the entropy. trained: the model as trained. decoded: the quantized one, smoothed: that with a share alpha spread evenly.
    """

    entropy: float
    oracle_loss: float
    oracle_standard_error: float
    trained_risk: float
    trained_loss: float
    decoded_risk: float
    decoded_loss: float
    smoothed_risk: float
    smoothed_loss: float


@torch.inference_mode()
def true_risk(oracle, trained, decoded, tokens, alpha, also=(), description="true risk"):
    """(`Means` over all positions of integer `tokens` [rows, row_tokens], [smoothed risk of each of `also`]); the models are causal and share
    one vocabulary.

    alpha in [0, 1): smoothing of the decoded model; at 0 the smoothed values are the decoded ones. also: pairs of another alpha and
    the first row of the positions that count.
    """
    size, parts = max(1, TOKENS_PER_BATCH // (tokens.shape[1] - 1)), []
    with progress(tokens[:, 1:].size, "tokens", f"{description} on cpu") as bar:
        for start in range(0, len(tokens), size):
            batch = torch.as_tensor(tokens[start : start + size].astype(np.int64))
            parts.append(_of_batch(oracle, trained, decoded, batch, [alpha, *(other for other, _ in also)]))
            bar.update(batch[:, 1:].numel())
    values = np.concatenate(parts, axis=1)
    means = [math.fsum(line) / len(line) for line in values[:8]]
    # behind these a risk and a loss for each other alpha
    later = [values[8 + 2 * k, first * (tokens.shape[1] - 1) :] for k, (_, first) in enumerate(also)]
    # of independent draws with these mean zero differences
    error = math.sqrt(math.fsum((values[1] - values[0]) ** 2)) / values.shape[1]
    return Means(*means[:2], error, *means[2:]), [math.fsum(line) / len(line) for line in later]


def _of_batch(oracle, trained, decoded, batch, alphas):
    """float64 [6 + 2 alphas, positions]: entropy and loss of the oracle, then risk and loss of trained, decoded and smoothed models."""
    inputs, targets = batch[:, :-1], batch[:, 1:].flatten()
    wanted = log_probabilities(oracle, inputs)
    weights = wanted.exp()
    rebuilt = log_probabilities(decoded, inputs)
    lines = []
    for found in (wanted, log_probabilities(trained, inputs), rebuilt, *(smoothed(rebuilt, alpha) for alpha in alphas)):
        lines += [-(weights * found).sum(-1), -found.gather(-1, targets[:, None]).squeeze(-1)]
    return torch.stack(lines).numpy()


def log_probabilities(model, inputs):
    """float64 [rows * positions, V]: log softmax of the fp32 logits of integer `inputs` [rows, positions]."""
    return torch.log_softmax(model(input_ids=inputs).logits.flatten(0, 1).double(), -1)


def smoothed(logp, alpha):
    """Log of (1 - alpha) p + alpha / V, of log probabilities [tokens, V] (theory.md, section 5)."""
    return logp if alpha == 0 else torch.logaddexp(logp + math.log1p(-alpha), torch.tensor(math.log(alpha / logp.shape[-1]), dtype=logp.dtype))
