"""`windows.parquet`: drawn windows with their row ids, written through `datasets`."""

import hashlib

import numpy as np

from scalebound.artifacts.parquet import describe_parquet, identity_of, read_in_parts, read_parquet, write_parquet
from scalebound.errors import InputError

STAGES = ("sample", "fetch-windows", "heldout")
PART_WINDOWS = 1024


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
    rows, tokens = _columns(table, path)
    _check_digests(path, identity, token_digest(tokens), rows)
    return rows, tokens, identity


def read_rows(path):
    """(row ids int64 [m], (m, row_tokens), identity): as `read`, which never holds all tokens. Raises InputError as `read` does."""
    identity, _ = describe_parquet(path, STAGES)
    rows, digest, lengths = [], hashlib.sha256(), set()
    for table in read_in_parts(path, ["row", "tokens"], PART_WINDOWS):
        ids, tokens = _columns(table, path)
        rows.append(ids)
        lengths.add(tokens.shape[1])
        digest.update(np.ascontiguousarray(tokens, dtype="<u4").tobytes())
    rows = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
    _check_digests(path, identity, digest.hexdigest(), rows)
    return rows, (len(rows), lengths.pop() if lengths else 0), identity


def token_digest(tokens):
    """Hex sha256 of a block of windows as little-endian uint32, whatever type holds it."""
    return hashlib.sha256(np.ascontiguousarray(tokens, dtype="<u4").tobytes()).hexdigest()


def row_digest(ids):
    """Hex sha256 of row ids as little-endian int64."""
    return hashlib.sha256(np.ascontiguousarray(ids, dtype="<i8").tobytes()).hexdigest()


def _columns(table, path):
    try:
        rows, tokens = table["row"].to_numpy(), np.stack(table["tokens"].to_numpy(zero_copy_only=False))
        if tokens.dtype.kind not in "iu":
            raise TypeError(f"tokens of type {tokens.dtype}")
        return rows, tokens.astype(np.int32)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"its columns are not row and tokens ({error})", "The file was altered: delete it and run snakemake again") from None


def _check_digests(path, identity, tokens, rows):
    if tokens != identity.get("tokens_sha256") or row_digest(rows) != identity.get("rows_sha256"):
        raise InputError(path, "its tokens are not those of its identity", "The file was altered: delete it and run snakemake again")
