"""The files of a described model: they must be those that the description names, and every weight must be finite."""

import contextlib
import re
import struct
import zipfile
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError, safe_open

from scalebound.artifacts.provenance import check_keys, file_sha256, read_json
from scalebound.errors import InputError
from scalebound.hub.weight_files import CONFIG, is_weight_file
from scalebound.models import device_locks

# what GPT-NeoX and GPT-2 of old versions of transformers stored beside their weights; the mask's value is infinite in fp16
OLD_BUFFERS = (".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias")
_WIDE = ("F16", "F32", "F64")
_SHORT = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32"}


def read_description(path):
    """A model description (`resolved.json` or `decoded.json`) whose files lie in their folder, unaltered and finite.

    Raises:
        InputError: a file is missing, altered, unreadable, or holds NaN or infinity.
    """
    description = read_json(path, needs={"files": list, "vocab_size": int})
    check_description(description, path)
    return description


def check_description(description, where):
    """What `read_description` does, of a description that `where` holds."""
    folder = folder_of(description)
    _check_listing(description, where)
    for file in description["files"]:
        found = file_sha256(folder / file["name"])
        if found != file["sha256"]:
            raise InputError(folder / file["name"], f"sha256 {found}, {where} says {file['sha256']}", "The file was altered: delete it and run snakemake again")
    check_weights(folder, description["files"])


def folder_of(description):
    """Where a described model lies: the folder that it names, or the hub's cache, which is never asked over the network."""
    if "hub" not in description:
        check_keys(description, {"folder": str}, "model description")
        return Path(description["folder"])
    check_keys(description["hub"], {"repo": str, "commit": str}, "model description")
    from scalebound.hub.snapshot import offline_folder

    return offline_folder(description["hub"]["repo"], description["hub"]["commit"], [file["name"] for file in description["files"]])


def check_weights(folder, files):
    """Raise InputError when a weight file of the list is unreadable or holds NaN or infinity."""
    for file in files:
        if file["name"].endswith(".safetensors"):
            check_finite(folder / file["name"])
        elif file["name"].endswith(".bin"):
            _check_finite_bin(folder / file["name"])


def weights_of(description):
    """Names of the weight files of a description: of two formats in a released checkpoint, safetensors; elsewhere nothing but safetensors."""
    names = [file["name"] for file in description["files"]]
    safetensors = [name for name in names if name.endswith(".safetensors")]
    return safetensors or [name for name in names if "hub" in description and is_weight_file(name)]


def _check_listing(description, path):
    """The files that are opened are those that the description lists, and no others: what else lies in their folder plays no part."""
    for file in description["files"]:
        check_keys(file, {"name": str, "sha256": str}, path)
    listed = {CONFIG: any(file["name"] == CONFIG for file in description["files"]), "any weights": weights_of(description)}
    for what, names in listed.items():
        if not names:
            raise InputError(path, f"no sha256 of {what}", "Delete the description and run snakemake again")


@contextlib.contextmanager
def opened(paths, prefix=""):
    """{name: tensor} of weight files, while the context lasts; tensors of safetensors are read from the disk when they are sliced.

    Of files that hold several models, those whose names begin with `prefix`, which is left out.

    Raises:
        InputError: an unreadable file, or a tensor that lies in two of them.
    """
    tensors = {}
    with contextlib.ExitStack() as stack:
        for path in paths:
            found = _read_bin(path) if path.suffix == ".bin" else _open_safetensors(path, stack)
            if twice := sorted(set(found) & set(tensors)):
                raise InputError(path, f"holds {twice[0]}, which lies in another of the model's files too", "Leave the files of one model in the folder")
            tensors |= found
        yield {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def stored_dtype(tensors):
    """The one 16-bit type of the floating-point numbers among `opened` tensors, or float32, which holds what is of several types."""
    kinds = {_kind(tensor) for name, tensor in tensors.items() if not name.endswith(OLD_BUFFERS)}
    (kind,) = kinds if len(kinds) == 1 else ("F32",)
    return {"F16": torch.float16, "BF16": torch.bfloat16}.get(kind, torch.float32)


def repeated_zeros(tensors):
    """The same names and shapes as those of `opened` tensors, without their memory."""
    return {name: torch.zeros(()).expand(_shape(tensor)) for name, tensor in tensors.items()}


def _kind(tensor):
    return _SHORT.get(tensor.dtype, "other") if isinstance(tensor, torch.Tensor) else tensor.get_dtype()


def _shape(tensor):
    return tensor.shape if isinstance(tensor, torch.Tensor) else tensor.get_shape()


def _open_safetensors(path, stack):
    try:
        file = stack.enter_context(safe_open(path, framework="pt"))
        return {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (safe_open is not iterable)
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"not a readable safetensors file ({error})", "Delete it and make it again") from None


def check_finite(path):
    """Raise InputError when a safetensors file is unreadable, holds NaN or infinity, or floating-point numbers of less than 16 bits."""
    try:
        # read, not mapped: each tensor once, and none stays
        with safe_open(path, framework="pt", backend="pread") as file:
            for name in file.keys():  # noqa: SIM118 (safe_open is not iterable)
                # before the tensor is read: torch has not every type that the format has
                _refuse_narrow(file.get_slice(name).get_dtype(), name, path)
                if not name.endswith(OLD_BUFFERS) and not torch.isfinite(file.get_tensor(name)).all():
                    raise InputError(path, f"tensor {name} holds NaN or infinity", "Train or fetch the checkpoint again")
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"not a readable safetensors file ({error})", "Delete it and make it again") from None


def _refuse_narrow(kind, name, path):
    """Weights of a quantized release stand for others, which scales beside them and code of another package make of them."""
    if re.match("F[0-9]", kind) and kind not in _WIDE:
        raise InputError(path, f"tensor {name} is stored as {kind}", "Only 16, 32 and 64 bits are read: fetch the release in bfloat16")


def _check_finite_bin(path):
    for name, tensor in _read_bin(path).items():
        if tensor.is_floating_point() and tensor.itemsize < 2:
            _refuse_narrow(str(tensor.dtype).removeprefix("torch.").upper().replace("FLOAT", "F"), name, path)
        if not name.endswith(OLD_BUFFERS) and tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise InputError(path, f"tensor {name} holds NaN or infinity", "Fetch another checkpoint")


def _read_bin(path):
    try:
        # weights_only: tensors and plain containers, nothing that a pickle could run
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (UnpicklingError, struct.error, EOFError):
        raise InputError(path, "holds more than tensors, or is damaged", "Do not open it; name another revision") from None
    except (OSError, RuntimeError) as error:
        raise InputError(path, f"not a readable weight file ({str(error).splitlines()[0][:200]})", "Fetch the checkpoint again") from None
    if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise InputError(path, "is no table of tensors", "Name a revision that holds weights for transformers")
    return tensors


def choose_device(wanted, weight_bytes=0):
    """`auto`, `cpu` or `cuda` as a torch device, which this process then holds alone: as many as weights of so many bytes need.

    Raises:
        InputError: CUDA is wanted and absent, or has not room enough.
    """
    if wanted != "cpu" and not torch.cuda.is_initialized():
        device_locks.claim(weight_bytes)
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("scoring.device", "cuda, but torch sees no CUDA device", "Set it to auto or cpu, or install the CUDA build")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def weight_bytes(folder, names, dtype):
    """Bytes that weights take in memory, by the sizes of their files in a folder: at least two bytes an entry, as released ones are stored."""
    return sum((folder / name).stat().st_size for name in names) * torch.finfo(getattr(torch, dtype)).bits // 16


def device_for(wanted, description, dtype):
    """`choose_device` for the weights of a description."""
    return choose_device(wanted, weight_bytes(folder_of(description), weights_of(description), dtype))


def device_memory():
    """Bytes of memory of the first CUDA device."""
    return torch.cuda.get_device_properties(0).total_memory


def device_name(device):
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def matrix_product_rate(device, dtype, size=2048, seconds=0.5):
    """Operations a second of square matrix products on a torch device, measured for about `seconds`."""
    import time

    import torch

    kind = {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]
    left = torch.ones(size, size, device=device, dtype=kind)

    def finish():
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    left @ left
    finish()
    started, count = time.monotonic(), 0
    while time.monotonic() - started < seconds:
        left @ left
        finish()
        count += 1
    return 2 * size**3 * count / (time.monotonic() - started)
