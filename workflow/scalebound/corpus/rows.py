"""A training stream on disk: fixed-length rows of uint16 tokens, in training order.

`tokens.bin` is the plain concatenation of the rows, the layout of Pythia's own data files: row i begins at byte
2 * row_tokens * i, its inputs are all tokens but the last and its targets all but the first.
"""

import hashlib
from pathlib import Path

import numpy as np

from scalebound.artifacts.provenance import read_json
from scalebound.errors import InputError

# stages that write tokens.bin with stream.json beside it
MAKERS = ("tokenize", "generate")


def fill_rows(token_lists, rows, row_tokens, path):
    """Write the first `rows` rows of the concatenated token lists to `path`; returns (sha256, documents used).

    Raises:
        InputError: the lists hold fewer tokens than the rows need.
    """
    wanted, written, used, digest = rows * row_tokens, 0, 0, hashlib.sha256()
    with open(path, "wb") as file:
        for tokens in token_lists:
            if written == wanted:
                break
            piece = np.asarray(tokens[: wanted - written], dtype="<u2").tobytes()
            file.write(piece)
            digest.update(piece)
            written += len(piece) // 2
            used += 1
    if written < wanted:
        raise InputError("stream", f"{written} training tokens, the runs need {wanted}", "Add wheels, or train smaller models")
    return digest.hexdigest(), used


def check_pin(found, pins, rows, path):
    """Whether the digest of this number of rows is pinned ({rows as text: sha256}). Raises InputError when it is another one."""
    pinned = pins.get(str(rows))
    if pinned not in (None, found):
        raise InputError(path, f"sha256 {found}, pinned {pinned} for {rows} rows", "Correct `sha256` of the stream if the change is meant")
    return pinned is not None


def open_rows(tokens, stream):
    """(Rows, content of stream.json) of the two files that a stage of MAKERS makes. Raises InputError when they do not fit."""
    value = read_json(stream, MAKERS, {"rows": int, "row_tokens": int, "vocab_size": int})
    if value["rows"] < 1 or value["row_tokens"] < 2 or value["vocab_size"] < 1:
        raise InputError(stream, f"{value['rows']} rows of {value['row_tokens']} tokens", "Delete it and let snakemake make it again")
    return Rows(tokens, value["rows"], value["row_tokens"], value["vocab_size"]), value


class Rows:
    """Read-only view of `tokens.bin`.

    Raises:
        InputError: the file's length is not that of `rows` rows.
    """

    def __init__(self, path, rows, row_tokens, vocab_size):
        if not Path(path).is_file():
            raise InputError(path, "no such file", "Make it with snakemake, or correct the path")
        size, expected = Path(path).stat().st_size, 2 * rows * row_tokens
        if size != expected:
            raise InputError(path, f"{size} bytes, {rows} rows of {row_tokens} tokens take {expected}", "Delete it and run snakemake again")
        self.path, self.rows, self.row_tokens, self.vocab_size = Path(path), rows, row_tokens, vocab_size
        # the rows are in training order, and a run sees each equally often
        self.unbiased = True
        self._tokens = np.memmap(path, dtype="<u2", mode="r", shape=(rows, row_tokens))

    def __len__(self):
        return len(self._tokens)

    def read(self, ids):
        """Rows of the given ids as uint16 [len(ids), row_tokens]. Raises InputError on a token outside the vocabulary."""
        tokens = np.asarray(self._tokens[np.asarray(ids, dtype=np.int64)])
        if tokens.size and int(tokens.max()) >= self.vocab_size:
            raise InputError(self.path, f"token id {int(tokens.max())}, vocabulary size {self.vocab_size}", "Use the stream's own tokenizer")
        return tokens
