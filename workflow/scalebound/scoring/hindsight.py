"""Whether stored losses were made without hindsight: predicted again from windows in which the tokens after a position are others.

A certificate needs every prediction to follow from the tokens before (theory.md, section 1). What is recomputed here is what it
states: at positions up to that one, its losses and entropies. No code is shared with models/predictability.py and scoring.py.
"""

import numpy as np
import torch

from scalebound.progress import progress


@torch.no_grad()
def largest_difference(model, tokens, nll, entropy, windows_per_batch, seed, description):
    """The largest difference in nats from stated `nll` and `entropy` [windows, row_tokens - 1] of integer tokens [windows, row_tokens].

    Each window has a position of its own, from the last that has a later token in its inputs to the first, evenly over the
    windows. The tokens after it are others, drawn by `seed`; so are those of the other windows in its batch.
    """
    windows, length = nll.shape
    if length < 2:
        return 0.0
    vocabulary = model.get_output_embeddings().weight.shape[0]
    last = np.linspace(length - 2, 0, windows).round().astype(int)
    others = (tokens + np.random.default_rng([seed, windows]).integers(1, vocabulary, tokens.shape)) % vocabulary
    inputs = torch.as_tensor(np.where(np.arange(length) <= last[:, None], tokens[:, :-1], others[:, :-1]), device=model.device)
    largest, start = 0.0, 0
    with progress(windows * length, "tokens", f"{description} on {model.device.type}") as bar:
        while start < windows:
            batch = inputs[start : start + windows_per_batch]
            try:
                predicted = model(input_ids=batch).logits
            except torch.cuda.OutOfMemoryError:
                if windows_per_batch == 1:
                    raise
                windows_per_batch = (windows_per_batch + 1) // 2
                continue
            for row, logits in enumerate(predicted, start=start):
                seen = last[row] + 1
                found = np.stack(_losses(logits[:seen], tokens[row, 1 : seen + 1]))
                # NaN stays NaN
                largest = np.maximum(largest, np.abs(found - np.stack([nll[row, :seen], entropy[row, :seen]])).max())
            start += len(batch)
            bar.update(batch.numel())
    return float(largest)


def _losses(logits, targets):
    """(nll, entropy), float64 [positions], from logits [positions, V]."""
    logits = logits.double()
    log_mass = torch.logsumexp(logits, dim=-1)
    share = torch.softmax(logits, dim=-1)
    entropy = log_mass - torch.where(share > 0, share * logits, 0.0).sum(-1)
    chosen = logits[torch.arange(len(targets)), torch.as_tensor(targets, dtype=torch.long)]
    return (log_mass - chosen).cpu().numpy(), entropy.cpu().numpy()
