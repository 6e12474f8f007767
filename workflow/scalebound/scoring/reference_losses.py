"""What a model expects of its own smoothed loss at every position: exact references Y of the Freedman bound, in nats."""

import numpy as np
import torch

from scalebound.errors import InputError
from scalebound.progress import progress
from scalebound.scoring.scoring import check_windows

POSITIONS = 2**24  # logits that are in memory at once


@torch.inference_mode()
def reference_losses(model, tokens, alpha, description="references"):
    """(under the model, under the smoothed model), float32 [windows, row_tokens - 1] each, for integer tokens [windows, row_tokens].

    With X_a(v) = -log((1 - a) p(v) + a / V): the sum over v of p(v) X_a(v), and of ((1 - a) p(v) + a / V) X_a(v). Both are
    known before the token is drawn, as Y has to be.

    Raises:
        InputError: ids outside the vocabulary, windows longer than the model allows, a value that is not finite.
    """
    check_windows(model, tokens)
    device, size = model.device, max(1, POSITIONS // (tokens.shape[1] * model.get_output_embeddings().weight.shape[0]))
    parts = []
    with progress(tokens[:, 1:].size, "tokens", f"{description} on {device.type}") as bar:
        for start in range(0, len(tokens), size):
            batch = torch.as_tensor(tokens[start : start + size, :-1], dtype=torch.long, device=device)
            parts.append([x.cpu().numpy() for x in expected_losses(model(input_ids=batch).logits, alpha)])
            bar.update(batch.numel())
    found = [np.concatenate([part[k] for part in parts]) for k in (0, 1)]
    if not all(np.isfinite(x).all() for x in found):
        raise InputError("model", "an expected loss is NaN or infinite", "Check the weights; use float32 or bfloat16")
    return found


def expected_losses(logits, alpha):
    """The two means of X_a for logits [..., V] of any dtype, fp32 [...]."""
    share = torch.softmax(logits.float(), dim=-1)
    losses = -torch.log((1 - alpha) * share + alpha / logits.shape[-1])
    under_model = torch.linalg.vecdot(share, losses)
    return under_model, (1 - alpha) * under_model + alpha * losses.mean(-1)
