"""Which files of a local folder are the model, from their names and the index alone: for those who list files and for those who read them."""

import re
from pathlib import Path

from scalebound.errors import InputError
from scalebound.hub.weight_files import CONFIG, FORMATS, shards_of

_FORMAT, SINGLE, INDEX, _ = FORMATS[0]
# names under which transformers looks for weights, or for what it puts onto them
_TAKEN_FOR_WEIGHTS = re.compile(r"(shard-\d+-)?model(-\d+-of-\d+)?\.safetensors(\.index\.json)?|adapter_config\.json")


def model_files(folder):
    """Names of the files that are the model: config.json, and model.safetensors or an index with its shards; no other file is ever read.

    Where a folder holds no weights, the name of those that are missing is among them.

    Raises:
        InputError: two answers are possible, or the index is unreadable or names what is not there.
    """
    folder = Path(folder)
    present = {path.name for path in folder.glob("*")}
    index = [INDEX] if INDEX in present else []
    weights = shards_of((folder / INDEX).read_bytes(), _FORMAT, present, folder / INDEX) if index else [SINGLE]
    others = sorted(name for name in present.difference(index, weights) if _TAKEN_FOR_WEIGHTS.fullmatch(name))
    if others:
        raise InputError(folder, f"holds {others[0]} beside {weights[0]}, and either could be the model", "Leave the files of one model in the folder")
    return [CONFIG, *index, *weights]
