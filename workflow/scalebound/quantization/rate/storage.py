"""`codes.safetensors` of the rate path: the integers and exponents of every parameter, open to inspection (numpy only)."""

import json

import numpy as np
from safetensors import SafetensorError, safe_open

from scalebound.artifacts.provenance import KEY
from scalebound.artifacts.tensors import write_tensors
from scalebound.errors import InputError
from scalebound.quantization.rate.coded_tensor import CodedTensor

_PARTS = ("codes", "row_exponents", "column_exponents")


def write(path, tensors, identity):
    """Store {name: CodedTensor}; base exponent and offset of each go into the identity in its metadata."""
    arrays = {f"{name}.{part}": getattr(t, part) for name, t in tensors.items() for part in _PARTS}
    grids = {name: [int(t.base), int(t.offset)] for name, t in tensors.items()}
    write_tensors(path, arrays, {KEY: json.dumps({**identity, "exponents": grids}, sort_keys=True)})


def read(path):
    """{name: CodedTensor}. Raises InputError when the file is unreadable or incomplete."""
    try:
        with safe_open(path, framework="numpy") as file:
            grids = json.loads(file.metadata()[KEY])["exponents"]
            return {name: _tensor(file, name, base, offset) for name, (base, offset) in grids.items()}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"not a file of `scalebound compress` ({error})", "Delete it and let snakemake make it again") from None


def _tensor(file, name, base, offset):
    codes, rows, columns = (file.get_tensor(f"{name}.{part}") for part in _PARTS)
    if codes.dtype != np.int32 or rows.dtype != np.int16 or columns.dtype != np.int16:
        raise ValueError(f"{name} holds {codes.dtype}, {rows.dtype}, {columns.dtype}")
    return CodedTensor(codes, base, rows, columns, offset)
