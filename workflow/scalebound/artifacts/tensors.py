"""Writing safetensors files atomically; a full disk is an OSError here as everywhere else."""

import contextlib
import errno

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from scalebound.artifacts import atomic


def write_tensors(path, arrays, metadata):
    """Store {name: numpy array} with string metadata. Raises OSError (ENOSPC) when the disk is full."""
    # safetensors writes an array's memory as it lies: a transposed view would come back with its entries permuted
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with atomic.replacing(path) as temporary, full_disk_is_an_os_error(path):
        save_file(arrays, temporary, metadata=metadata)


@contextlib.contextmanager
def full_disk_is_an_os_error(path):
    """Raise OSError (ENOSPC) about `path` where safetensors says in words of its own that the disk is full."""
    try:
        yield
    except SafetensorError as error:
        if "No space left" in str(error):
            raise OSError(errno.ENOSPC, "No space left on device", str(path)) from None
        raise
