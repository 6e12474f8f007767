"""Spectra of the second moments of the inputs of linear layers, block by block, as GPTQ sees them without having rounded anything."""

import torch

from scalebound.errors import InputError
from scalebound.progress import progress
from scalebound.quantization.calibration import layer_groups, second_moments
from scalebound.scoring.scoring import batch_windows


def input_spectra(model, tokens, name="model"):
    """{layer: eigenvalues of E[z z^T], float64 numpy, descending, as computed} over all inputs `tokens` [windows, length].

    Tiny negative values are rounding. A layer that no token reaches has none.

    Raises:
        InputError: a moment is not finite.
    """
    size, groups, spectra = batch_windows(model, tokens.shape[1]), layer_groups(model), {}
    with progress(sum(len(layers) for _, layers in groups), "layers", f"input moments of {name} on {model.device.type}") as bar:
        for block, layers in groups:
            moments = second_moments(model, layers, tokens, size, stop_after=block) if layers else {}
            for layer, moment in moments.items():
                spectra[layer] = eigenvalues(moment / tokens.size, layer)
            bar.update(len(layers))
    return spectra


def eigenvalues(moment, where):
    """Eigenvalues of a symmetric torch matrix, float64 numpy, descending. Raises InputError when it is not finite."""
    if not torch.isfinite(moment).all():
        raise InputError(where, "the second moment of its inputs is not finite", "Check the weights of the checkpoint")
    return torch.linalg.eigvalsh(moment.double()).flip(0).cpu().numpy()
