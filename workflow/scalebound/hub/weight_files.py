"""Which files of a checkpoint are taken: one format of the weights, the configuration, the tokenizer."""

import json
import re

from scalebound.errors import InputError

CONFIG = "config.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
)
# in the order in which transformers looks for them
FORMATS = (
    ("safetensors", "model.safetensors", "model.safetensors.index.json", ".safetensors"),
    ("bin", "pytorch_model.bin", "pytorch_model.bin.index.json", ".bin"),
)
_WEIGHTS = re.compile(r"[^/]+\.safetensors|pytorch_model[^/]*\.bin")


def is_weight_file(path):
    """Whether a path is that of weights, in either format; other `.bin` files (`training_args.bin`) are none."""
    return _WEIGHTS.fullmatch(path) is not None


def choose_format(paths, where):
    """(format, single file or None, index or None) for the set of paths of a repository's root.

    Raises:
        InputError: no weights, or no configuration.
    """
    if CONFIG not in paths:
        raise InputError(where, f"no {CONFIG}", "Name a repository of a transformers model")
    for name, single, index, _ in FORMATS:
        if single in paths:
            return name, single, None
        if index in paths:
            return name, None, index
    raise InputError(where, "neither safetensors nor pytorch_model.bin", "Name a revision that holds weights for transformers")


def shards_of(index_bytes, weight_format, paths, where):
    """Sorted file names of an index of sharded weights; all of them must be of the format, in the root, and there.

    Raises:
        InputError: the index is unreadable, names something else than weights, or a file that does not exist.
    """
    suffix = next(entry[3] for entry in FORMATS if entry[0] == weight_format)
    try:
        names = sorted({str(name) for name in json.loads(index_bytes)["weight_map"].values()})
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise InputError(where, f"not an index of weight files ({error})", "Take another checkpoint") from None
    odd = [name for name in names if not name.endswith(suffix) or "/" in name or "\\" in name]
    if odd or not names:
        raise InputError(where, f"names {odd[0] if odd else 'nothing'}", f"Only {suffix} files beside the index are opened: take another checkpoint")
    missing = [name for name in names if name not in paths]
    if missing:
        raise InputError(where, f"{missing[0]} is not beside it", "The checkpoint is incomplete: take another one")
    return names
