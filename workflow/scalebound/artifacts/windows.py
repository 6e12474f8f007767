"""`windows.parquet`: drawn windows with their row ids, written through `datasets`."""

import hashlib

import numpy as np

from scalebound.artifacts.parquet import identity_of, read_parquet, write_parquet
from scalebound.errors import InputError

STAGES = ("sample", "fetch-windows", "heldout")


def write(path, row_ids, tokens, identity):
    """Columns `window` (place in the draw), `row` (id in the stream), `tokens` (inputs and last target)."""
    from datasets import Dataset, Features, List, Value

    features = Features({"window": Value("int32"), "row": Value("int64"), "tokens": List(Value("int32"), length=tokens.shape[1])})
    columns = {"window": np.arange(len(row_ids), dtype=np.int32), "row": row_ids, "tokens": tokens.astype(np.int32)}
    table = Dataset.from_dict(columns, features=features).data.table
    write_parquet(path, table, {**identity, "tokens_sha256": token_digest(tokens), "rows_sha256": row_digest(row_ids)})


def read(path):
    """(row ids int64 [m], tokens int32 [m, row_tokens], identity).

    Raises:
        InputError: unreadable file, or tokens that are not those the identity names.
    """
    table = read_parquet(path, STAGES)
    identity = identity_of(table, path)
    try:
        rows, tokens = table["row"].to_numpy(), np.stack(table["tokens"].to_numpy(zero_copy_only=False))
        if tokens.dtype.kind not in "iu":
            raise TypeError(f"tokens of type {tokens.dtype}")
        tokens = tokens.astype(np.int32)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"its columns are not row and tokens ({error})", "The file was altered: delete it and run snakemake again") from None
    if token_digest(tokens) != identity.get("tokens_sha256") or row_digest(rows) != identity.get("rows_sha256"):
        raise InputError(path, "its tokens are not those of its identity", "The file was altered: delete it and run snakemake again")
    return rows, tokens, identity


def token_digest(tokens):
    """Hex sha256 of a block of windows as little-endian uint32, whatever type holds it."""
    return hashlib.sha256(np.ascontiguousarray(tokens, dtype="<u4").tobytes()).hexdigest()


def row_digest(ids):
    """Hex sha256 of row ids as little-endian int64."""
    return hashlib.sha256(np.ascontiguousarray(ids, dtype="<i8").tobytes()).hexdigest()
