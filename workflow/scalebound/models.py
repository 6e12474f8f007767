"""Loading a described model: the files must be those that the description names, and every weight must be finite."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from scalebound.errors import InputError
from scalebound.provenance import file_sha256, read_json

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def choose_device(wanted):
    """`auto`, `cpu` or `cuda` as a torch device. Raises InputError when CUDA is wanted and absent."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("scoring.device", "cuda, but torch sees no CUDA device", "Set it to auto or cpu, or install the CUDA build")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def device_name(device):
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def verify_files(description, path):
    """Raise InputError unless every file that a model description lists lies in its folder, unaltered."""
    for file in description["files"]:
        place = Path(description["folder"]) / file["name"]
        found = file_sha256(place)
        if found != file["sha256"]:
            raise InputError(place, f"sha256 {found}, {path} says {file['sha256']}", "The file was altered: delete it and run snakemake again")


def check_finite(path):
    """Raise InputError when a safetensors file is unreadable or holds NaN or infinity."""
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (safe_open is not iterable)
                if not torch.isfinite(file.get_tensor(name)).all():
                    raise InputError(path, f"tensor {name} holds NaN or infinity", "Train or fetch the checkpoint again")
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"not a readable safetensors file ({error})", "Delete it and make it again") from None


def load(description_path, device, dtype):
    """The model of a description (`resolved.json` or `decoded.json`) in evaluation mode, and the description."""
    description = read_json(description_path)
    verify_files(description, description_path)
    for file in description["files"]:
        if file["name"].endswith(".safetensors"):
            check_finite(Path(description["folder"]) / file["name"])
    return load_folder(description["folder"], device, dtype), description


def load_folder(folder, device, dtype):
    """A causal language model from a local folder of safetensors; no network, no remote code."""
    transformers_logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES[dtype], trust_remote_code=False, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(folder, str(error).splitlines()[0], "Give a folder with config.json and safetensors") from None
    model.config.use_cache = False
    return model.eval().to(device)
