"""Held-out documents as rows: what no model was trained on, cut as the training stream is."""

import numpy as np

from scalebound.corpus.documents import read_texts
from scalebound.corpus.tokenizer import encode_documents
from scalebound.errors import InputError


def heldout_rows(listed, folder, tokenizer, row_tokens):
    """Rows uint16 [rows, row_tokens] of the held-out documents in the order of the manifest, each closed by the end-of-document token.

    `listed` are the rows of documents.parquet, `folder` holds the wheels. What does not fill a last row is left out.

    Raises:
        InputError: fewer than two rows, of which no standard error could be had.
    """
    texts = read_texts([row for row in listed if row["split"] == "heldout"], folder)
    tokens = np.array([token for ids in encode_documents(tokenizer, texts) for token in ids], dtype=np.uint16)
    rows = len(tokens) // row_tokens
    if rows < 2:
        raise InputError("heldout_fraction", f"{len(tokens)} held-out tokens, a row takes {row_tokens}", "Raise it, or leave the study out of the run")
    return tokens[: rows * row_tokens].reshape(rows, row_tokens)


def draw(rows, windows, seed):
    """Ids int64 of at most `windows` of the rows, in seeded order and none twice: held-out text is scarce."""
    return np.random.Generator(np.random.PCG64(seed)).permutation(rows)[:windows].astype(np.int64)
