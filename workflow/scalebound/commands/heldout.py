"""Windows of the held-out documents of a stream, which no model was trained on."""

from pathlib import Path

from scalebound.artifacts import windows
from scalebound.artifacts.provenance import identity
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.configuration.config import HeldoutDraw
from scalebound.corpus import documents, heldout, tokenizer

GROUP = "streams and training"


def add_arguments(parser):
    add_settings(parser, HeldoutDraw)
    parser.add_argument("--row-tokens", required=True, type=int, help="tokens of a row")
    parser.add_argument("--vocab-size", required=True, type=int, help="entries of the tokenizer")
    parser.add_argument("--documents", required=True, help="documents.parquet")
    parser.add_argument("--wheels", required=True, help="folder of the wheels")
    parser.add_argument("--tokenizer", required=True, help="tokenizer.json")
    parser.add_argument("--out", required=True, help="windows.parquet: window, row (id among the held-out rows), tokens")


def run(arguments):
    settings = read_settings(arguments, HeldoutDraw)
    listed, made = documents.read_list(arguments.documents), tokenizer.read(arguments.tokenizer, arguments.vocab_size)
    rows = heldout.heldout_rows(listed, Path(arguments.wheels), made, arguments.row_tokens)
    ids = heldout.draw(len(rows), settings.windows, settings.seed)
    made_of = identity(
        "heldout",
        {"documents": arguments.documents, "tokenizer": arguments.tokenizer},
        {**settings.model_dump(), "row_tokens": arguments.row_tokens},
        packages=["datasets", "numpy", "tokenizers"],
        vocab_size=arguments.vocab_size,
        sampling="heldout",
    )
    windows.write(arguments.out, ids, rows[ids], made_of)
    print(f"{len(ids)} of {len(rows)} held-out rows of {arguments.row_tokens} tokens, seed {settings.seed}")
    return [arguments.out]
