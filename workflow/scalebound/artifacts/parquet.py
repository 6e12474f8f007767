"""Parquet artifacts: a pyarrow table with the identity in its schema metadata."""

import contextlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from scalebound.artifacts import atomic
from scalebound.artifacts.provenance import KEY, describe_files, parse_json
from scalebound.errors import InputError, first_line

# scores, windows and documents have fewer than 2 values a byte; small tables may be as repetitive as they like
VALUES_PER_BYTE = 16
FREE_VALUES = 4_000_000


def write_parquet(path, table, identity):
    """Write a pyarrow table with its identity, atomically; other schema metadata is kept."""
    metadata = dict(table.schema.metadata or {})
    metadata[KEY.encode()] = json.dumps(identity, sort_keys=True, allow_nan=False).encode()
    with atomic.replacing(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary, compression="zstd")


def write_text_table(out, text, identity):
    """Write a CSV file, and beside it a JSON artifact with its identity, which a CSV cannot hold; returns both paths."""
    out = Path(out)
    named = out.with_name(f"{out.stem}.identity.json")
    atomic.write_bytes(out, text.encode())
    atomic.write_json(named, {"identity": identity, "files": describe_files(out.parent, [out.name])})
    return [str(out), str(named)]


def read_parquet(path, stage=None, columns=None):
    """The table, after a check that `stage` (or one of several) made it.

    Raises:
        InputError: missing, truncated or altered file, or one that another stage made.
    """
    with _opened(path) as file:
        table = file.read(columns)
    _made_by(stage, path, table.schema)
    return table


def describe_parquet(path, stage):
    """(identity, number of rows) of what `stage` (or one of several) made, without its columns. Raises InputError as `read_parquet` does."""
    with _opened(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
    return _made_by(stage, path, schema), rows


def read_in_parts(path, columns, rows):
    """Tables of at most `rows` rows each, in order: memory is bounded whatever the file holds. Raises InputError as `read_parquet` does."""
    with _opened(path) as file:
        for batch in file.iter_batches(batch_size=rows, columns=columns):
            yield pa.Table.from_batches([batch])


@contextlib.contextmanager
def _opened(path):
    try:
        # buffers that are filled ahead are kept until the file is closed: all of it, in the end
        with pq.ParquetFile(path, pre_buffer=False) as file:
            _check_size(path, file.metadata)
            yield file
    except FileNotFoundError:
        raise InputError(path, "no such file", "Make it with snakemake, or correct the path") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(path, f"not a readable parquet file ({first_line(error)})", "Delete it and let snakemake make it again") from None


def _made_by(stage, path, schema):
    """The identity in a schema, of one of the wanted stages."""
    found = _identity(schema, path)
    wanted = (stage,) if isinstance(stage, str) else stage
    if wanted is not None and found.get("stage") not in wanted:
        raise InputError(path, f"made by stage {found.get('stage')!r}, wanted {' or '.join(map(repr, wanted))}", "Give the right file")
    return found


def _check_size(path, metadata):
    """Equal values fold to almost nothing: a table may not hold more of them than such a file could hold of real ones."""
    groups = (metadata.row_group(k) for k in range(metadata.num_row_groups))
    values = sum(group.column(k).num_values for group in groups for k in range(group.num_columns))
    allowed = VALUES_PER_BYTE * Path(path).stat().st_size + FREE_VALUES
    if values > allowed:
        raise InputError(path, f"{values} values in {Path(path).stat().st_size} bytes", "A decompression bomb: delete it and let snakemake make it again")


def identity_of(table, path):
    """The identity stored in a table's schema metadata. Raises InputError when there is none."""
    return _identity(table.schema, path)


def _identity(schema, path):
    stored = (schema.metadata or {}).get(KEY.encode())
    if stored is None:
        raise InputError(path, "no identity in its metadata", "Delete it and let snakemake make it again")
    identity = parse_json(stored, f"{path}: identity")
    if not isinstance(identity, dict):
        raise InputError(path, "its identity is damaged", "Delete it and let snakemake make it again")
    return identity
