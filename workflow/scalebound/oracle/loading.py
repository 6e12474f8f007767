"""The oracle, from the folder of the checkpoint that it is."""

from pathlib import Path

import torch

from scalebound.errors import InputError
from scalebound.models import loading
from scalebound.models.files import check_finite


def load_oracle(folder, vocab_size, row_tokens):
    """The model in `folder`, in float32 on the CPU.

    Raises:
        InputError: no such model, weights that are not finite, another vocabulary, or rows longer than it takes.
    """
    check_finite(Path(folder) / "model.safetensors")
    model = loading.load_folder(folder, torch.device("cpu"), "float32")
    found, longest = model.get_output_embeddings().weight.shape[0], model.config.max_position_embeddings
    if found != vocab_size:
        raise InputError(folder, f"a vocabulary of {found}, the stream has {vocab_size}", "Correct vocab_size of the stream")
    if row_tokens - 1 > longest:
        raise InputError(folder, f"takes {longest} tokens, a row of the stream needs {row_tokens - 1}", "Lower row_tokens of the stream")
    return model
