"""`codes.safetensors`: the integers of every parameter, open to inspection before they are packed (numpy only)."""

import json

from safetensors import SafetensorError, safe_open

from scalebound.errors import InputError
from scalebound.provenance import KEY
from scalebound.quantization.integers import IntegerTensor
from scalebound.tensor_files import write_tensors


def write(path, tensors, identity):
    """Store {name: IntegerTensor}; bits and group of each go into the identity in its metadata."""
    arrays = {f"{name}.{part}": getattr(t, part) for name, t in tensors.items() for part in ("codes", "scales", "zeros")}
    grids = {name: [t.bits, t.group] for name, t in tensors.items()}
    # one metadata entry: safetensors writes several in an order that changes from run to run
    write_tensors(path, arrays, {KEY: json.dumps({**identity, "grids": grids}, sort_keys=True)})


def read(path):
    """{name: IntegerTensor}. Raises InputError when the file is unreadable or incomplete."""
    try:
        with safe_open(path, framework="numpy") as file:
            grids = json.loads(file.metadata()[KEY])["grids"]
            return {
                name: IntegerTensor(*(file.get_tensor(f"{name}.{part}") for part in ("codes", "scales", "zeros")), bits, group)
                for name, (bits, group) in grids.items()
            }
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"not a file of `scalebound quantize` ({error})", "Delete it and let snakemake make it again") from None
