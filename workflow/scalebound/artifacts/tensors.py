"""Writing safetensors files atomically, a tensor at a time; a full disk is an OSError here as everywhere else."""

import contextlib
import errno
import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from safetensors import SafetensorError

from scalebound.artifacts import atomic

# in the order in which the library lays out tensors, last first
_TYPES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "uint16": "U16", "float16": "F16", "int32": "I32", "uint32": "U32",
    "float32": "F32", "float64": "F64", "int64": "I64", "uint64": "U64",
}  # fmt: skip
_ORDER = {name: -place for place, name in enumerate(_TYPES)}


@dataclass(frozen=True)
class Later:
    """An array that is not there yet: `make()` gives it, of this dtype and shape, when it is written."""

    dtype: np.dtype
    shape: tuple[int, ...]
    make: Callable

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.make(), dtype=dtype)


def write_tensors(path, arrays, metadata):
    """Store {name: numpy array, or Later} with string metadata, byte for byte as safetensors does, which wants all of them in memory.

    Raises OSError (ENOSPC) when the disk is full.
    """
    names, place = sorted(arrays, key=lambda name: (_ORDER[np.dtype(arrays[name].dtype).name], name)), 0
    header = {"__metadata__": metadata}
    for name in names:
        dtype, shape = np.dtype(arrays[name].dtype), list(arrays[name].shape)
        end = place + dtype.itemsize * math.prod(shape)
        header[name], place = {"dtype": _TYPES[dtype.name], "shape": shape, "data_offsets": [place, end]}, end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with atomic.replacing(path) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            array = np.ascontiguousarray(arrays[name])
            file.write(array.astype(array.dtype.newbyteorder("<"), copy=False).data.cast("B") if array.size else b"")
            del array  # before the next one is made


@contextlib.contextmanager
def full_disk_is_an_os_error(path):
    """Raise OSError (ENOSPC) about `path` where safetensors says in words of its own that the disk is full."""
    try:
        yield
    except SafetensorError as error:
        if "No space left" in str(error):
            raise OSError(errno.ENOSPC, "No space left on device", str(path)) from None
        raise
