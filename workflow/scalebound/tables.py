"""Parquet artifacts: a pyarrow table with the identity in its schema metadata."""

import json

import pyarrow as pa
import pyarrow.parquet as pq

from scalebound import atomic
from scalebound.errors import InputError
from scalebound.provenance import KEY


def write_parquet(path, table, identity):
    """Write a pyarrow table with its identity, atomically; other schema metadata is kept."""
    metadata = dict(table.schema.metadata or {})
    metadata[KEY.encode()] = json.dumps(identity, sort_keys=True, allow_nan=False).encode()
    with atomic.replacing(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary, compression="zstd")


def read_parquet(path, stage=None, columns=None):
    """The table, after a check that `stage` (or one of several) made it.

    Raises:
        InputError: missing, truncated or altered file, or one that another stage made.
    """
    try:
        table = pq.read_table(path, columns=columns)
    except FileNotFoundError:
        raise InputError(path, "no such file", "Make it with snakemake, or correct the path") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(path, f"not a readable parquet file ({str(error).splitlines()[0]})", "Delete it and let snakemake make it again") from None
    found = identity_of(table, path)
    wanted = (stage,) if isinstance(stage, str) else stage
    if wanted is not None and found.get("stage") not in wanted:
        raise InputError(path, f"made by stage {found.get('stage')!r}, wanted {' or '.join(map(repr, wanted))}", "Give the right file")
    return table


def identity_of(table, path):
    """The identity stored in a table's schema metadata."""
    stored = (table.schema.metadata or {}).get(KEY.encode())
    if stored is None:
        raise InputError(path, "no identity in its metadata", "Delete it and let snakemake make it again")
    try:
        return json.loads(stored)
    except ValueError as error:
        raise InputError(path, f"its identity is damaged ({error})", "Delete it and let snakemake make it again") from None
