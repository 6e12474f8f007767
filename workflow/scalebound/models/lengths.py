"""How long a window a model takes, by what its configuration declares and by what it does."""

import torch

from scalebound.errors import InputError

_NAMES = ("max_position_embeddings", "max_seq_len", "max_target_positions")


def check_length(model, inputs):
    """Raise InputError when windows of so many inputs are longer than the model takes.

    A rotary embedding can be computed anywhere: the configuration says up to where it was trained. Every other model (learned
    positions, ALiBi, recurrence, none) reads a longer window than it declares or fails on it: one is tried.
    """
    config = model.config.get_text_config()
    declared = next((value for name in _NAMES if (value := getattr(config, name, None)) is not None), None)
    # -1 where there is no limit
    if declared is None or not 0 < declared < inputs:
        return
    is_rotary = getattr(config, "rope_parameters", None) and not getattr(config, "alibi", False)
    if is_rotary or not _reads(model, inputs):
        raise InputError("windows", f"{inputs} inputs, the model takes {declared}", "Sample from a stream with shorter rows")


@torch.no_grad()
def _reads(model, inputs):
    try:
        # a CUDA device says that an index is out of range when a number is asked of it
        model(input_ids=torch.zeros(1, inputs, dtype=torch.long, device=model.device)).logits.sum().item()
    except torch.cuda.OutOfMemoryError:
        raise
    except (IndexError, RuntimeError, ValueError):
        return False
    return True
