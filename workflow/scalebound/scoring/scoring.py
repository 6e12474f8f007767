"""Token loss and model entropy of every target of a set of windows.

Statistics are computed in fp32 in one pass over chunks of the vocabulary: the logits of a batch never exist at once, and
a large vocabulary costs little beside the forward pass.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.functional import log_softmax

from scalebound.errors import InputError
from scalebound.models.lengths import check_length
from scalebound.progress import progress
from scalebound.scoring.batches import Batches
from scalebound.scoring.host_memory import host_memory

CPU_TOKENS_PER_BATCH = 8192
CUDA_TOKENS_PER_BATCH = 65536
PROBED = 32  # tokens at either end of a window whose logits are looked at before a fast path is taken
BLOCK_TOKENS = 256
LOGIT_BYTES = {"cpu": 16 * 2**20, "cuda": 512 * 2**20}


@dataclass(frozen=True)
class Scores:
    """`nll` and `entropy` in nats, float32 [windows, row_tokens - 1]; position k predicts token k + 1 of the window."""

    nll: np.ndarray
    entropy: np.ndarray


@torch.inference_mode()
def score(model, tokens, windows_per_batch=None, description="score"):
    """Score integer `tokens` [windows, row_tokens]: inputs are all but the last token, targets all but the first.

    Raises:
        InputError: ids outside the vocabulary, windows longer than the model allows, a loss that is not finite.
    """
    # of a model spread over several devices, that of its first parameter, the embedding
    device = model.device
    check_windows(model, tokens)
    size, head = windows_per_batch or batch_windows(model, tokens.shape[1] - 1), separable_head(model, tokens)
    found = np.empty((2, *tokens[:, 1:].shape), dtype=np.float32)
    with progress(tokens[:, 1:].size, "tokens", f"{description} on {device.type}") as bar:
        for windows, values in Batches(tokens, size, device, bar).run(range(len(tokens)), lambda batch: _score_batch(model, head, batch)):
            _check_finite(values, windows)
            # neither is negative; rounding of fp32 may say so
            found[:, windows] = values.clamp(min=0).numpy()
    return Scores(*found)


def token_statistics(logits, targets):
    """(nll, entropy) in nats, fp32 [tokens], of logits [tokens, V] in any dtype and targets [tokens]."""
    logp = log_softmax(logits.float(), dim=-1)
    entropy = -(logp.exp() * logp.clamp(min=torch.finfo(logp.dtype).min)).sum(-1)
    return -logp.gather(-1, targets[:, None]).squeeze(-1), entropy


def statistics_of(states, head, targets):
    """(nll, entropy) in nats, fp32 [tokens], of hidden states [tokens, width] under an output head, in blocks whose logits stay where they are made."""
    limit, tokens = LOGIT_BYTES[states.device.type] // 4, len(states)
    if states.device.type == "cuda" or tokens * len(head.weight) <= limit:
        return head_statistics(states, head.weight, head.bias, targets, max(1, limit // tokens))
    # a part of the limit that a core's cache holds: five passes over it cost an eighth of making it, and a fifth where memory has it
    blocks = zip(states.split(BLOCK_TOKENS), targets.split(BLOCK_TOKENS))
    chunk = max(1, limit // 8 // min(tokens, BLOCK_TOKENS))
    found = [head_statistics(some, head.weight, head.bias, wanted, chunk) for some, wanted in blocks]
    return tuple(torch.cat(parts) for parts in zip(*found))


def head_statistics(states, weight, bias, targets, chunk):
    """(nll, entropy) in nats, fp32 [tokens], under softmax(states @ weight.T + bias), `chunk` vocabulary entries at a time.

    states [tokens, width] and weight [V, width] in one dtype, targets [tokens]. Kept over the chunks are the largest
    logit so far, and relative to it the mass sum exp(x) and the moment sum x exp(x); entropy is log mass - moment / mass.
    """
    top = states.new_full((len(states),), -torch.inf, dtype=torch.float32)
    mass, moment, picked = torch.zeros_like(top), torch.zeros_like(top), torch.zeros_like(top)
    for start in range(0, len(weight), chunk):
        logits = _logits(states, weight[start : start + chunk])
        if bias is not None:
            logits += bias[start : start + chunk].float()
        place = targets - start
        inside = (place >= 0) & (place < logits.shape[1])
        found = logits.gather(-1, place.clamp(0, logits.shape[1] - 1)[:, None]).squeeze(-1)
        picked = torch.where(inside, found, picked)
        higher = torch.maximum(top, logits.amax(-1))
        # before the first chunk there is no mass to move
        shift = torch.where(mass > 0, top - higher, 0.0)
        logits -= higher[:, None]
        share = logits.exp()
        moment = (moment + mass * shift) * shift.exp() + torch.linalg.vecdot(share, logits)
        mass, top = mass * shift.exp() + share.sum(-1), higher
    log_mass = mass.log()
    return log_mass + top - picked, log_mass - moment / mass


def _logits(states, weight):
    """fp32 [tokens, entries] from states and weights in their own dtype, without rounding the sums to it."""
    if states.dtype == torch.float32:
        return states @ weight.T
    if states.device.type == "cuda":
        return torch.mm(states, weight.T, out_dtype=torch.float32)
    return states.float() @ weight.float().T


def batch_windows(model, length):
    """Windows a batch: as many as fill a fixed number of tokens, fewer where the device's memory is small.

    Total memory decides, not what happens to be free, so that one machine always takes the same batch.
    """
    device, config = model.device, model.config.get_text_config()
    width, heads = _widest(model), _most(getattr(config, "num_attention_heads", None) or 1)
    window_bytes = length * (16 * width + heads * length) * model.dtype.itemsize
    if device.type == "cuda":
        tokens, memory = CUDA_TOKENS_PER_BATCH, torch.cuda.get_device_properties(device).total_memory
    else:
        tokens, memory = CPU_TOKENS_PER_BATCH, host_memory()
    return max(1, min(tokens // length, int(0.1 * memory / window_bytes)))


def _widest(model):
    """The largest number of inputs or outputs of a matrix that is no embedding and no head, whatever the configuration calls it."""
    aside = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    aside.add(id(model.get_output_embeddings().weight))
    return max((max(p.shape[-2:]) for p in model.parameters() if p.ndim >= 2 and id(p) not in aside), default=1)


def _most(count):
    """Of a number that may be one for each layer."""
    return max(count) if isinstance(count, (list, tuple)) else count


def _score_batch(model, head, batch):
    """fp32 [2, windows, positions] on the device: losses and entropies."""
    inputs, targets = batch[:, :-1], batch[:, 1:]
    if head is not None:
        states = model.base_model(input_ids=inputs).last_hidden_state.flatten(0, 1).to(head.weight.device)
        found = statistics_of(states, head, targets.flatten().to(states.device))
    else:
        # logits that are more than head(states), such as soft-capped ones: one window at a time
        rows = [_chunked(model(input_ids=i[None]).logits[0], t) for i, t in zip(inputs, targets)]
        found = (torch.cat([row[k] for row in rows]) for k in (0, 1))
    return torch.stack([values.reshape(targets.shape) for values in found])


def _check_finite(values, windows):
    bad = ~torch.isfinite(values).all(0)
    if bad.any():
        window, position = divmod(int(bad.flatten().nonzero()[0]), bad.shape[1])
        where = f"window {windows[window]}, position {position}"
        raise InputError("model", f"loss or entropy is not finite at {where}", "Check the weights; score in float32 or bfloat16")


def _chunked(logits, targets):
    chunk = max(1, LOGIT_BYTES[logits.device.type] // (4 * logits.shape[1]))
    parts = [token_statistics(x, t) for x, t in zip(logits.split(chunk), targets.to(logits.device).split(chunk))]
    return tuple(torch.cat([part[k] for part in parts]) for k in (0, 1))


def separable_head(model, tokens):
    """The output head, when logits are exactly head(last hidden state) at both ends of the first of `tokens` [windows, row_tokens]; None otherwise."""
    inputs, head = torch.as_tensor(tokens[:1, :-1], dtype=torch.long, device=model.device), model.get_output_embeddings()
    # a base model may be the whole model, whose output has logits alone
    states = getattr(model.base_model(input_ids=inputs), "last_hidden_state", None)
    if not isinstance(head, nn.Linear) or states is None or states.shape[-1] != head.weight.shape[1]:
        return None
    ends = [*range(inputs.shape[1])][:PROBED] + [*range(inputs.shape[1])][PROBED:][-PROBED:]
    logits = model(input_ids=inputs).logits[:, ends]
    return head if torch.allclose(head(states[:, ends].to(head.weight.device)), logits, rtol=1e-5, atol=1e-5) else None


class Logits:
    """Logits of a model, some tokens at a time: `of(inputs)` [windows, positions] runs the model, and a slice of what it returns has
    the logits of these tokens, [tokens, V]. `head` is None where they are no product of states with a head, and exist all at once."""

    def __init__(self, model, tokens):
        self.model, self.head = model, separable_head(model, tokens)

    def of(self, inputs):
        if self.head is None:
            return _All(self.model(input_ids=inputs).logits.flatten(0, 1))
        return _ByHead(self.model.base_model(input_ids=inputs).last_hidden_state.flatten(0, 1).to(self.head.weight.device), self.head)


class _All:
    def __init__(self, logits):
        self.logits, self.device, self.vocabulary = logits, logits.device, logits.shape[-1]

    def __getitem__(self, tokens):
        return self.logits[tokens]


class _ByHead:
    def __init__(self, states, head):
        # what has no product of half precision with sums of fp32 is turned into fp32 once
        wide = states.dtype != torch.float32 and states.device.type != "cuda"
        self.states, self.weight, self.bias = states, head.weight.float() if wide else head.weight, head.bias
        self.device, self.vocabulary = states.device, len(head.weight)

    def __getitem__(self, tokens):
        found = _logits(self.states[tokens].to(self.weight.dtype), self.weight)
        return found if self.bias is None else found + self.bias.float()


def check_windows(model, tokens):
    """Raise InputError when ids lie outside of the model's vocabulary, or windows are longer than it allows."""
    vocabulary = model.get_output_embeddings().weight.shape[0]
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high >= vocabulary:
        raise InputError("windows", f"token ids {low} to {high}, the model's vocabulary has {vocabulary}", "Sample with the checkpoint's own stream")
    check_length(model, tokens.shape[1] - 1)
