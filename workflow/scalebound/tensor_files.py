"""Writing safetensors files atomically; a full disk is an OSError here as everywhere else."""

import errno

from safetensors import SafetensorError
from safetensors.numpy import save_file

from scalebound import atomic


def write_tensors(path, arrays, metadata):
    """Store {name: numpy array} with string metadata. Raises OSError (ENOSPC) when the disk is full."""
    with atomic.replacing(path) as temporary:
        try:
            save_file(arrays, temporary, metadata=metadata)
        except SafetensorError as error:
            if "No space left" in str(error):
                raise OSError(errno.ENOSPC, "No space left on device", str(path)) from None
            raise
