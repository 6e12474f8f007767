"""A training stream on disk: fixed-length rows of uint16 tokens, in training order.

`tokens.bin` is the plain concatenation of the rows, the layout of Pythia's own data files: row i begins at byte
2 * row_tokens * i, its inputs are all tokens but the last and its targets all but the first.
"""

import tempfile
from pathlib import Path

import numpy as np

from scalebound.artifacts.provenance import file_sha256, read_json
from scalebound.errors import InputError

# stages that write tokens.bin with stream.json beside it
MAKERS = ("tokenize", "generate")
ROWS_AT_ONCE = 4096  # read, or written in another order, so that memory does not grow with the stream


def row_order(rows, seed):
    """int64 [rows]: row i of the stream is row row_order[i] of the documents written one after the other.

    One order over all rows, of which each training run reads the first: what it sees is a sample of the whole text, as
    Pythia's rows are, and not the first documents from end to end.
    """
    return np.random.Generator(np.random.PCG64(seed)).permutation(rows)


def write_shuffled_rows(token_lists, row_tokens, seed, path):
    """Cut the token lists, one after the other, into rows, and write these in the order of `seed`; returns their number.

    What does not fill a last row is left out. The rows lie on disk meanwhile, never all in memory.

    Raises:
        InputError: not one row.
    """
    with tempfile.TemporaryFile(dir=Path(path).parent) as plain:
        for tokens in token_lists:
            plain.write(np.asarray(tokens, dtype="<u2").tobytes())
        rows = plain.tell() // (2 * row_tokens)
        if not rows:
            raise InputError("stream", f"{plain.tell() // 2} training tokens, a row takes {row_tokens}", "Add wheels")
        plain.flush()
        documents, order = np.memmap(plain, dtype="<u2", mode="r", shape=(rows, row_tokens)), row_order(rows, seed)
        with open(path, "wb") as file:
            for first in range(0, rows, ROWS_AT_ONCE):
                file.write(documents[order[first : first + ROWS_AT_ONCE]].tobytes())
    return rows


def check_pin(path, pinned, place):
    """(sha256 of the file, whether it is pinned). Raises InputError, naming `place`, when another one is."""
    found = file_sha256(path)
    if pinned not in (None, found):
        raise InputError(place, f"sha256 {found}, pinned {pinned}", "Correct `sha256` of the stream if the change is meant")
    if pinned is None:
        print(f"notice: the stream is not pinned; add to it:  sha256: {found}")
    return found, pinned is not None


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
