"""The oracle, from the folder of the checkpoint that it is."""

from pathlib import Path

import torch

from scalebound.errors import InputError
from scalebound.models import loading
from scalebound.models.files import check_finite


def load_oracle(folder, vocab_size, row_tokens):
    """The model in `folder`, in float32 on the CPU, and what `predictability.check` found of it.

    Raises:
        InputError: no such model, weights that are not finite, another vocabulary, or rows longer than it takes.
    """
    check_finite(Path(folder) / "model.safetensors")
    model, causality = loading.load_folder(folder, torch.device("cpu"), "float32", row_tokens - 1)
    found = model.get_output_embeddings().weight.shape[0]
    if found != vocab_size:
        raise InputError(folder, f"a vocabulary of {found}, the stream has {vocab_size}", "Correct vocab_size of the stream")
    return model, causality
