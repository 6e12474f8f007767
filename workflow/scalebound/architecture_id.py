"""The id of an architecture, and reading `architecture.json` (no torch: decoders need no more than this)."""

import hashlib
import json

from scalebound.errors import InputError
from scalebound.provenance import read_json


def architecture_id(config, parameters):
    """First 32 hex digits of the sha256 of configuration and parameter list."""
    text = json.dumps({"config": config, "parameters": parameters}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read_architecture(path):
    """The content of architecture.json. Raises InputError when its id is not that of what it describes."""
    value = read_json(path, "resolve")
    try:
        found = architecture_id(value["config"], value["parameters"])
        if value["id"] == found:
            return value
    except KeyError as error:
        raise InputError(path, f"no {error} in it", "Delete it and let snakemake make it again") from None
    raise InputError(path, f"id {value['id']}, its content has {found}", "The file was altered: delete it and run snakemake again")
