"""Rebuild the quantized model from its message and its architecture alone."""

import functools
import json
from pathlib import Path

import numpy as np

from scalebound.artifacts import atomic
from scalebound.artifacts.architecture import read_architecture
from scalebound.artifacts.provenance import describe_files, identity
from scalebound.artifacts.tensors import Later, write_tensors
from scalebound.errors import InputError
from scalebound.quantization import message
from scalebound.quantization.integers import from_matrix

GROUP = "codes"

FILES = ("config.json", "model.safetensors")


def add_arguments(parser):
    parser.add_argument("--message", required=True, help="model.sbq")
    parser.add_argument("--architecture", required=True, help="architecture.json")
    parser.add_argument("--out", required=True, help="folder for config.json, model.safetensors and decoded.json")


def run(arguments):
    architecture, folder = read_architecture(arguments.architecture), Path(arguments.out)
    count = write_model(_read(arguments.message), architecture, folder, arguments.message)
    made_of = identity("decode", {"message": arguments.message, "architecture": arguments.architecture}, {}, packages=["numpy"])
    files = describe_files(folder, FILES)
    facts = {key: architecture[key] for key in ("n_params", "vocab_size")}
    atomic.write_json(folder / "decoded.json", {"identity": made_of, "folder": str(folder), "files": files, **facts})
    print(f"{count} parameters rebuilt from {arguments.message}")
    return [folder / name for name in (*FILES, "decoded.json")]


def write_model(data, architecture, folder, where):
    """Write config.json and model.safetensors of a message into `folder`; returns the number of parameters."""
    weights = rebuild(data, architecture, where)
    atomic.write_bytes(folder / "config.json", (json.dumps(architecture["config"], indent=2, sort_keys=True) + "\n").encode())
    write_tensors(folder / "model.safetensors", weights, {"format": "pt"})
    return len(weights)


def rebuild(data, architecture, where):
    """{parameter name: float32 array in its own shape, made when it is asked for} of a message."""
    tensors = message.opened(data, architecture, where)
    return {p["name"]: Later(np.float32, tuple(p["shape"]), functools.partial(_weights, tensors, p)) for p in architecture["parameters"]}


def _weights(tensors, parameter):
    return np.ascontiguousarray(from_matrix(tensors[parameter["name"]].dequantize(), parameter["shape"], parameter["use"]))


def _read(path):
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(path, "no such file", "Make it with snakemake, or correct the path") from None
