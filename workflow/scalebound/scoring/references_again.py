"""Stated losses of references and largest differences, computed again in float64 by the plain formula, whole vocabularies at once.

No code is shared with scoring/beside_reference.py. Each window is looked at twice under its reference, the second time with other tokens
after a position: what a reference says of earlier ones must not change.
"""

import numpy as np
import torch

from scalebound.progress import progress

SHARE = 0.5  # b as a share of a (bounds/online.py)


@torch.no_grad()
def differences(model, groups, tokens, stated, alphas, seed, description):
    """{what differs: by how many nats at most} of integer `tokens` [windows, row_tokens].

    groups: pairs of window indices and the model that is their reference, None for the uniform distribution. stated: losses of the
    references [windows, positions] and largest differences, one such array for each of `alphas`; the latter may be too large.
    """
    reference_nll, largest = stated
    apart, later, below = 0.0, 0.0, 0.0
    generator = np.random.default_rng([seed, len(tokens)])
    with progress(len(tokens), "windows", description) as bar:
        for windows, reference in groups:
            for window in windows:
                row = tokens[window]
                own = _shares(model, row)
                its = torch.full_like(own, 1 / own.shape[1]) if reference is None else _shares(reference, row)
                found = _losses(its, row)
                apart = np.maximum(apart, np.abs(found - reference_nll[window]).max())
                for alpha, column in zip(alphas, largest):
                    wanted = (_smoothed(its, SHARE * alpha) / _smoothed(own, alpha)).log().amax(-1).numpy()
                    below = np.maximum(below, (wanted - column[window]).max())
                if reference is not None:
                    last = int(generator.integers(len(row) - 2)) if len(row) > 2 else 0
                    other = np.where(np.arange(len(row)) <= last, row, generator.integers(0, own.shape[1], len(row)))
                    changed = _losses(_shares(reference, other), row)[: last + 1]
                    later = np.maximum(later, np.abs(changed - reference_nll[window][: last + 1]).max())
                bar.update(1)
    return {
        "a token differs under its reference": float(apart),
        "with other tokens after it, a token differs under its reference": float(later),
        "a largest difference is too small": float(below),
    }


def _shares(model, row):
    """float64 [positions, V] of one window."""
    logits = model(input_ids=torch.as_tensor(row[None, :-1], dtype=torch.long, device=model.device)).logits[0]
    return torch.softmax(logits.double(), dim=-1).cpu()


def _losses(shares, row):
    return -np.log(shares.numpy()[np.arange(len(row) - 1), row[1:]])


def _smoothed(shares, weight):
    return (1 - weight) * shares + weight / shares.shape[-1]
