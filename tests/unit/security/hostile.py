"""Hostile files that several security tests offer, and a child process that does not get much time or memory for them."""

import json
import pickle
import struct
from pathlib import Path

from scalebound.configuration import checkpoints

ROOT = Path(__file__).resolve().parents[3]


class Malicious:
    """Unpickling this creates the file `owned`."""

    def __init__(self, owned):
        self.owned = owned

    def __reduce__(self):
        return open, (str(self.owned), "w")


def header(value, declared=None):
    """A safetensors file with this JSON header, of a declared length of its own if one is given."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack("<Q", len(text) if declared is None else declared) + text


HOSTILE_TENSORS = {
    "empty": b"",
    "no header": b"\x08\0\0\0\0\0\0\0",
    "header of 2**63 bytes": header(b"{}", 2**63),
    "header of 4 GB": header(b"{}", 2**32),
    "header longer than the file": header(b"{}", 10**6),
    "header that is no JSON": header(b"\xff" * 100),
    "header that is a list": header([]),
    "nested header": header(b'{"a":' * 100_000),
    "data beyond the file": header({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
    "shape beyond 64 bits": header({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}) + bytes(4),
    "shape that does not fit its data": header({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 4]}}) + bytes(4),
    "negative shape": header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}) + bytes(4),
    "unknown type": header({"a": {"dtype": "object", "shape": [1], "data_offsets": [0, 4]}}) + bytes(4),
    "pickle": pickle.dumps(Malicious("owned")),
}


def row_of_the_table():
    (row,) = (row for row in checkpoints.read_table(ROOT / "config/smoke.tsv") if row.slug == "smoke-6k")
    return row.model_dump()


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy
