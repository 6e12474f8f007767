"""Whether a model's weights are still those that were loaded: what is quantized and stored has to be what the files hold."""

import torch

from scalebound.errors import InputError
from scalebound.models.blockwise import is_absent

BLOCK = 2**22  # entries that are in memory as integers of eight bytes at once
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@torch.no_grad()
def fingerprints(model):
    """{name: integer} of all parameters and stored buffers: of equal bits the same, of others, if only an entry moved, another one.

    Computed where the tensors lie. Those that lie on no device, or elsewhere (blockwise.py), are read again for each pass.
    """
    return {name: _fingerprint(tensor) for name, tensor in model.state_dict().items() if not tensor.is_meta and not is_absent(tensor)}


def check(model, before, where):
    """Raise InputError when a weight is no longer what it was when `before` was taken."""
    after = fingerprints(model)
    altered = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if altered:
        raise InputError(where, f"a forward pass changes its weight {altered[0]}", "What is stored would be another model than the one in the files")


def _fingerprint(tensor):
    bits, total = tensor.contiguous().view(-1).view(_INTEGERS[tensor.element_size()]), 0
    # each entry times its place, modulo 2^64: a plain sum would not see entries that change places
    places = torch.arange(1, min(BLOCK, len(bits)) + 1, device=bits.device)
    for block in bits.split(BLOCK):
        total = 31 * total + int((block * places[: len(block)]).sum())
    return total
