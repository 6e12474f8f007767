"""What is written must be what was meant: tensors before and after a message, weight by weight (numpy only)."""

import numpy as np

from scalebound.errors import InputError


def check_round_trip(tensors, decoded):
    """Raise InputError when a decoded tensor stands for other weights than the one that was encoded."""
    for name, tensor in tensors.items():
        if not np.array_equal(tensor.dequantize(), decoded[name].dequantize()):
            raise InputError(name, "does not survive encoding", "This is a defect of the codec: please report it")
