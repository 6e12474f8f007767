"""The files of a described model: they must be those that the description names, and every weight must be finite."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from scalebound.errors import InputError
from scalebound.provenance import check_keys, file_sha256, read_json


def read_description(path):
    """A model description (`resolved.json` or `decoded.json`) whose files lie in their folder, unaltered and finite.

    Raises:
        InputError: a file is missing, altered, unreadable, or holds NaN or infinity.
    """
    description = read_json(path, needs={"folder": str, "files": list, "vocab_size": int})
    _check_listing(description, path)
    for file in description["files"]:
        place = Path(description["folder"]) / file["name"]
        found = file_sha256(place)
        if found != file["sha256"]:
            raise InputError(place, f"sha256 {found}, {path} says {file['sha256']}", "The file was altered: delete it and run snakemake again")
        if place.suffix == ".safetensors":
            check_finite(place)
    return description


def _check_listing(description, path):
    """What transformers will open in the folder has to be what the description vouches for."""
    for file in description["files"]:
        check_keys(file, {"name": str, "sha256": str}, path)
    listed = {file["name"] for file in description["files"]}
    present = {place.name for place in Path(description["folder"]).glob("*") if place.name.endswith((".safetensors", ".index.json"))}
    odd = sorted((present | {"config.json"}) - listed)
    if odd:
        raise InputError(path, f"no sha256 of {odd[0]}, which lies in {description['folder']}", "Delete the description and run snakemake again")


def check_finite(path):
    """Raise InputError when a safetensors file is unreadable or holds NaN or infinity."""
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (safe_open is not iterable)
                if not torch.isfinite(file.get_tensor(name)).all():
                    raise InputError(path, f"tensor {name} holds NaN or infinity", "Train or fetch the checkpoint again")
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"not a readable safetensors file ({error})", "Delete it and make it again") from None


def choose_device(wanted):
    """`auto`, `cpu` or `cuda` as a torch device. Raises InputError when CUDA is wanted and absent."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("scoring.device", "cuda, but torch sees no CUDA device", "Set it to auto or cpu, or install the CUDA build")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def device_name(device):
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
