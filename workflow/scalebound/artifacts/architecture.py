"""The id of an architecture, and reading `architecture.json` (no torch: decoders need no more than this)."""

import hashlib
import json
import math

from scalebound.artifacts.provenance import check_keys, read_json
from scalebound.errors import InputError

NEEDS = {"config": dict, "parameters": list, "id": str, "n_params": int, "vocab_size": int}
# dimensions of a parameter by its use; the others have two or more
_DIMENSIONS = {"vector": (0, 1), "linear": (2,), "conv1d": (2,), "embedding": (2,), "tied": (2,), "fused": (3,)}
USES = (*_DIMENSIONS, "other")


def architecture_id(config, parameters):
    """First 32 hex digits of the sha256 of configuration and parameter list."""
    text = json.dumps({"config": config, "parameters": parameters}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read_architecture(path):
    """The content of architecture.json.

    Raises:
        InputError: unreadable, a parameter that is none, or an id that is not that of what it describes.
    """
    value = read_json(path, "resolve", NEEDS)
    for parameter in value["parameters"]:
        _check_parameter(parameter, path)
    names = [parameter["name"] for parameter in value["parameters"]]
    if len(set(names)) != len(names):
        raise InputError(path, "lists a parameter twice", "Delete it and let snakemake make it again")
    entries = sum(math.prod(parameter["shape"]) for parameter in value["parameters"])
    if value["n_params"] != entries or entries < 1:
        raise InputError(path, f"n_params {value['n_params']}, its parameters have {entries} entries", "Delete it and let snakemake make it again")
    found = architecture_id(value["config"], value["parameters"])
    if value["id"] != found:
        raise InputError(path, f"id {value['id']}, its content has {found}", "The file was altered: delete it and run snakemake again")
    return value


def _check_parameter(parameter, path):
    check_keys(parameter, {"name": str, "shape": list, "use": str}, path)
    shape, use = parameter["shape"], parameter["use"]
    sizes = all(isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in shape)
    fits = len(shape) in _DIMENSIONS[use] if use in _DIMENSIONS else len(shape) >= 2
    if use not in USES or not sizes or not fits:
        raise InputError(path, f"parameter {parameter['name']!r} of use {use!r} and shape {shape}", "Delete it and let snakemake make it again")
