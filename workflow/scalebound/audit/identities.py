"""The identity inside an artifact, whatever its format."""

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image
from safetensors import safe_open

from scalebound.artifacts.provenance import KEY, check_keys
from scalebound.errors import InputError


def read_identity(path):
    """The identity stored in a JSON, parquet, safetensors, PNG or PDF artifact.

    Raises:
        InputError: the file cannot be read as its format, or holds no identity.
    """
    suffix = Path(path).suffix
    try:
        identity = _READERS[suffix](path)
    except KeyError:
        raise InputError(path, f"no identity in a {suffix} file", "Delete it and let snakemake make it again") from None
    except Exception as error:  # whatever a damaged file makes a reader raise, it is one finding
        raise InputError(path, f"unreadable as {suffix} ({type(error).__name__}: {str(error)[:120]})", "Delete it and let snakemake make it again") from None
    _check(identity, path)
    return identity


def _check(identity, path):
    check_keys(identity, {"stage": str, "inputs": dict, "settings": dict}, path)
    for entry in identity["inputs"].values():
        check_keys(entry, {"path": str, "sha256": str}, path)


def _json(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))["identity"]


def _parquet(path):
    return json.loads(pq.read_schema(path).metadata[KEY.encode()])


def _safetensors(path):
    with safe_open(path, framework="numpy") as file:
        return json.loads(file.metadata()[KEY])


def _png(path):
    with Image.open(path) as image:
        image.load()
        return json.loads(image.text[KEY])


def _pdf(path):
    # matplotlib writes the keywords as one PDF string, with backslashes before parentheses and backslashes
    found = re.search(rb"/Keywords \((.*?[^\\])\)(?=\s*(?:/|>>))", Path(path).read_bytes(), re.DOTALL)
    return json.loads(re.sub(rb"\\([()\\])", rb"\1", found.group(1)))


_READERS = {".json": _json, ".parquet": _parquet, ".safetensors": _safetensors, ".png": _png, ".pdf": _pdf}
