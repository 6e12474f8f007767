"""A model's config.json, which may come from anybody: looked at before transformers makes anything of it."""

import math
import re
from pathlib import Path

from safetensors import safe_open

from scalebound.artifacts.provenance import parse_json
from scalebound.errors import InputError

MAX_BYTES = 4 * 2**20
MAX_LAYERS = 1024  # each takes time to build even without its weights; the largest released models have fewer than 200
MAX_COUNT = 2**16
# one module, one label or one list entry each: their number decides what is built before any weight is looked at
_COUNTS = re.compile("layer|label|expert")
# settings and weights of other files than those whose digests were checked, and code of other packages to read or run them
_REFUSED = ("configuration_files", "transformers_weights", "quantization_config")
_ATTENTION = (None, "eager", "sdpa")


def check_config(folder):
    """Look at config.json of a model's folder as plain JSON.

    Raises:
        InputError: missing, not a JSON object, larger than any model's, or with settings that make transformers open
            other files, fetch code, or build without end.
    """
    path = Path(folder) / "config.json"
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(path, "no such file", "Give a folder with config.json and safetensors") from None
    if size > MAX_BYTES:
        raise InputError(path, f"{size} bytes", "Give the configuration of a causal language model")
    value = parse_json(path.read_bytes(), path)
    if not isinstance(value, dict):
        raise InputError(path, "not a JSON object", "Give the configuration of a causal language model")
    for key in _REFUSED:
        if value.get(key) is not None:
            raise InputError(path, f"sets {key}", "Only plain weights in model.safetensors are read")
    for key, entry in _entries(value):
        if "attn_implementation" in key and entry not in _ATTENTION:
            raise InputError(path, f"sets {key} to {str(entry)[:60]!r}", "Remove it: attention is that of torch")
        if _COUNTS.search(key) and isinstance(entry, (int, float)) and entry > (MAX_LAYERS if _is_layers(key) else MAX_COUNT):
            raise InputError(path, f"{key} {entry}", "Give the configuration of a model that exists")


def check_number_of_weights(model, paths):
    """Raise InputError when the files hold fewer weights than a model on torch's meta device: filling up takes its memory."""
    wanted, stored = sum(p.numel() for p in model.parameters()), sum(map(_entries_of, paths))
    if wanted > stored:
        raise InputError(paths[0].parent, f"config.json describes {wanted} parameters, the files hold {stored}", "The weights are not those of its config.json")


def _entries(value):
    for key, entry in value.items():
        yield str(key), entry
        if isinstance(entry, dict):
            yield from _entries(entry)


def _is_layers(key):
    return key in ("n_layer", "n_layers") or key.endswith(("num_layers", "hidden_layers"))


def _entries_of(path):
    """Number of entries of all tensors of a safetensors file, from its header; of a `.bin` file, whose header only its loader reads, at most one a byte."""
    if path.suffix == ".bin":
        return path.stat().st_size
    with safe_open(path, framework="numpy") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 (safe_open is not iterable)
