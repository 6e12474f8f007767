"""List the documents of a stream: deduplicated, in seeded order, split into tokenizer, held-out and training part."""

from pathlib import Path

import pyarrow as pa

from scalebound.artifacts.parquet import write_parquet
from scalebound.artifacts.provenance import identity
from scalebound.commands.arguments import Paths, add_settings, read_settings
from scalebound.configuration.streams import WheelStream
from scalebound.corpus import documents

GROUP = "streams and training"


def add_arguments(parser):
    add_settings(parser, WheelStream)
    parser.add_argument("--wheels", required=True, nargs="+", action=Paths, help="the wheels, in the order of the configuration")
    parser.add_argument("--out", required=True, help="documents.parquet: position, split, wheel, path, bytes, sha256")


def run(arguments):
    settings = read_settings(arguments, WheelStream)
    rows, left_out = documents.list_documents([Path(path) for path in arguments.wheels], settings.suffixes)
    rows = documents.order_and_split(rows, settings.document_seed, settings.tokenizer_fraction, settings.heldout_fraction)
    sizes = {name: sum(row["bytes"] for row in rows if row["split"] == name) for name in documents.SPLITS}
    used = settings.model_dump(include={"document_seed", "tokenizer_fraction", "heldout_fraction", "suffixes"})
    made_of = identity("documents", {path: path for path in arguments.wheels}, used, left_out=left_out, split_bytes=sizes)
    write_parquet(arguments.out, pa.Table.from_pylist(rows), made_of)
    print(f"{len(rows)} documents, {sum(sizes.values()) / 1e6:.1f} MB; left out: {left_out}; bytes by split: {sizes}")
    return [arguments.out]
