"""`codes.safetensors`: the integers of every parameter, open to inspection before they are packed (numpy only)."""

import json
from collections.abc import Mapping

from safetensors import SafetensorError, safe_open

from scalebound.artifacts.provenance import KEY
from scalebound.artifacts.tensors import write_tensors
from scalebound.errors import InputError, first_line
from scalebound.quantization.integers import IntegerTensor
from scalebound.quantization.rotation import SEED_LIMIT

PARTS = ("codes", "scales", "zeros")


def write(path, tensors, identity):
    """Store {name: IntegerTensor}; bits and group of each, and the seed of its basis, go into the identity in its metadata."""
    arrays = {f"{name}.{part}": getattr(t, part) for name, t in tensors.items() for part in PARTS}
    grids = {name: [t.bits, t.group, *([] if t.seed is None else [t.seed])] for name, t in tensors.items()}
    # one metadata entry: safetensors writes several in an order that changes from run to run
    write_tensors(path, arrays, {KEY: json.dumps({**identity, "grids": grids}, sort_keys=True)})


class Stored(Mapping):
    """{name: IntegerTensor} of a file, each read when it is asked for; what they are is checked at once."""

    def __init__(self, path):
        self._file = safe_open(path, framework="numpy")
        self._grids = json.loads(self._file.metadata()[KEY])["grids"]
        for name, grid in self._grids.items():
            _check(self._file, name, *grid)

    def __getitem__(self, name):
        bits, group, *seed = self._grids[name]
        return IntegerTensor(*(self._file.get_tensor(f"{name}.{part}") for part in PARTS), bits, group, *seed)

    def __iter__(self):
        return iter(self._grids)

    def __len__(self):
        return len(self._grids)


def read(path):
    """{name: IntegerTensor}, Stored. Raises InputError when the file is unreadable, incomplete, or of other types."""
    try:
        return Stored(path)
    except (OSError, SafetensorError, LookupError, AttributeError, TypeError, ValueError, RecursionError) as error:
        raise InputError(path, f"not a file of `scalebound quantize` ({first_line(error)})", "Delete it and let snakemake make it again") from None


def gptq_share(path):
    """What `scalebound quantize` noted beside the integers: see whole_model.gptq_share. Raises InputError where there is no number."""
    try:
        with safe_open(path, framework="numpy") as file:
            return float(json.loads(file.metadata()[KEY])["gptq_share"])
    except (OSError, SafetensorError, LookupError, TypeError, ValueError) as error:
        raise InputError(path, f"no gptq_share in it ({first_line(error)})", "Delete it and let snakemake make it again") from None


def _check(file, name, bits, group, seed=None):
    slices = [file.get_slice(f"{name}.{part}") for part in PARTS]
    kinds = [(part.get_dtype(), len(part.get_shape())) for part in slices]
    if kinds != [("U8", 2), ("F16", 2), ("U8", 2)] or type(bits) is not int or type(group) is not int:
        raise ValueError(f"{name} is no integer tensor")
    if not 1 <= bits <= 8 or not 1 <= group <= max(1, slices[0].get_shape()[1]):
        raise ValueError(f"{name}: {bits} bits, groups of {group} columns")
    if seed is not None and (type(seed) is not int or not 0 <= seed < SEED_LIMIT):
        raise ValueError(f"{name}: seed {seed}")
