"""Token losses under a model and under its earlier self, and the largest difference that could have been: what the online bound needs.

For each window the reference that its row may use. Both distributions are needed in full for the largest difference over the
vocabulary, so that some tokens at a time pass through both heads; the logits of a batch never exist at once.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import log_softmax

from scalebound.bounds.online_scores import reference_alpha
from scalebound.errors import InputError
from scalebound.progress import progress
from scalebound.scoring import scoring
from scalebound.scoring.batches import Batches

# of the fp32 logits of one model for some tokens: on a CPU what its cache holds, but enough of them for the products with the heads
BLOCK_BYTES = 2**20  # of the logits of one model on which statistics are computed together
CHUNK_BYTES, LEAST_CHUNK = {"cpu": 512 * 2**10, "cuda": 256 * 2**20}, 256


@dataclass(frozen=True)
class PairScores:
    """In nats, float32 [windows, row_tokens - 1]: `nll` and `entropy` of the model, `reference_nll`, and `largest`, one such array
    for each of `alphas`: the columns of `bounds.online_scores`."""

    nll: np.ndarray
    entropy: np.ndarray
    reference_nll: np.ndarray
    largest: list


@torch.inference_mode()
def score(model, groups, tokens, alphas, windows_per_batch=None, description="score"):
    """`PairScores` of integer `tokens` [windows, row_tokens] under `model` and the references of `groups`.

    groups: pairs of window indices, each window once, and the model that is their reference, None for the uniform distribution.
    They may be made one after the other: a reference is used while its pair is the current one.

    Raises:
        InputError: ids outside a vocabulary, vocabularies that differ, windows longer than a model allows, a value that is not finite.
    """
    size = windows_per_batch or scoring.batch_windows(model, tokens.shape[1] - 1)
    found = torch.empty((3 + len(alphas), *tokens[:, 1:].shape), dtype=torch.float32)
    scoring.check_windows(model, tokens)
    logits = scoring.Logits(model, tokens)
    with progress(tokens[:, 1:].size, "tokens", f"{description} on {model.device.type}") as bar:
        batches = Batches(tokens, size, model.device, bar)
        for windows, reference in groups:
            beside = None if reference is None else _reference_logits(reference, model, tokens)
            for some, values in batches.run(windows, lambda batch, beside=beside: _score_batch(logits, beside, batch, alphas)):
                found[:, some] = values
            # gone before the next one is loaded
            reference = beside = None
    _check_finite(found)
    nll, entropy, reference_nll, *largest = found.numpy()
    # none is negative; rounding of fp32 may say so
    return PairScores(*(x.clip(min=0) for x in (nll, entropy, reference_nll)), [x.clip(min=0) for x in largest])


def pair_statistics(logits, reference_logits, targets, alphas):
    """fp32 [3 + len(alphas), tokens]: losses, entropy, losses of the reference, largest differences, all in nats.

    logits, reference_logits: [tokens, V] of any dtype, the latter None for the uniform distribution. targets: [tokens].
    """
    vocabulary = logits.shape[-1]
    nll, entropy, share = _of_distribution(logits, targets)
    if reference_logits is None:
        reference_nll, reference_share = torch.full_like(nll, np.log(vocabulary)), torch.full_like(share, 1 / vocabulary)
    else:
        reference_nll, _, reference_share = _of_distribution(reference_logits, targets)
    largest = []
    for a in alphas:
        b = reference_alpha(a)
        # log of ((1 - b) r + b / V) / ((1 - a) p + a / V), its constant factors taken out
        ratio = (reference_share + b / (1 - b) / vocabulary).div_(share + a / (1 - a) / vocabulary).amax(-1)
        largest.append(ratio.log_() + float(np.log1p(-b) - np.log1p(-a)))
    return torch.stack([nll, entropy, reference_nll, *largest])


def _of_distribution(logits, targets):
    """(nll, entropy, probabilities [tokens, V]) of softmax(logits), fp32."""
    logp = log_softmax(logits.float(), dim=-1)
    share = logp.exp()
    return -logp.gather(-1, targets[:, None]).squeeze(-1), -torch.linalg.vecdot(share, logp.clamp(min=torch.finfo(logp.dtype).min)), share


def _reference_logits(reference, model, tokens):
    mine, its = (m.get_output_embeddings().weight.shape[0] for m in (model, reference))
    if mine != its:
        raise InputError("reference", f"a vocabulary of {its}, the model has {mine}", "Take earlier checkpoints of the same run")
    scoring.check_windows(reference, tokens)
    return scoring.Logits(reference, tokens)


def _score_batch(logits, beside, batch, alphas):
    """fp32 [3 + len(alphas), windows, positions] on the device."""
    inputs, targets = batch[:, :-1], batch[:, 1:]
    if logits.head is None or (beside and beside.head is None):
        # whole windows of logits at once: one at a time
        parts = [_statistics(logits, beside, i[None], t, alphas) for i, t in zip(inputs, targets)]
        found = torch.cat(parts, dim=1)
    else:
        found = _statistics(logits, beside, inputs, targets.flatten(), alphas)
    return found.reshape(-1, *targets.shape)


def _statistics(logits, beside, inputs, targets, alphas):
    mine, its = logits.of(inputs), beside and beside.of(inputs)
    targets, parts = targets.to(mine.device), []
    chunk = max(LEAST_CHUNK, CHUNK_BYTES[mine.device.type] // (4 * mine.vocabulary))
    for start in range(0, len(targets), chunk):
        some = slice(start, start + chunk)
        reference = None if its is None else its[some].to(mine.device)
        parts += statistics_in_blocks(mine[some], reference, targets[some], alphas)
    return torch.cat(parts, dim=1)


def statistics_in_blocks(logits, reference, targets, alphas):
    """`pair_statistics` of a few tokens at a time where a CPU's cache holds no more: some twenty passes over what memory holds take six times as long."""
    size = len(targets) if logits.device.type != "cpu" else max(1, BLOCK_BYTES // (4 * logits.shape[-1]))
    for start in range(0, len(targets), size):
        some = slice(start, start + size)
        yield pair_statistics(logits[some], None if reference is None else reference[some], targets[some], alphas)


def _check_finite(found):
    bad = ~torch.isfinite(found).all(0)
    if bad.any():
        window, position = divmod(int(bad.flatten().nonzero()[0]), bad.shape[1])
        where = f"window {window}, position {position}"
        raise InputError("model", f"a loss, an entropy or a largest difference is not finite at {where}", "Check the weights; score in float32 or bfloat16")
