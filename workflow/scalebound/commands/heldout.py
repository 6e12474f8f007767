"""Windows of the held-out documents of a stream, which no model was trained on."""

from pathlib import Path

from scalebound.artifacts import windows
from scalebound.artifacts.provenance import identity
from scalebound.commands.arguments import add_settings, read_json_option, read_settings
from scalebound.configuration.streams import WheelStream
from scalebound.configuration.studies import Baselines
from scalebound.corpus import documents, heldout, tokenizer

GROUP = "checkpoints"


def add_arguments(parser):
    add_settings(parser, Baselines)
    parser.add_argument("--stream-settings", required=True, metavar="JSON", help="the stream's section of the configuration")
    parser.add_argument("--documents", required=True, help="documents.parquet")
    parser.add_argument("--wheels", required=True, help="folder of the wheels")
    parser.add_argument("--tokenizer", required=True, help="tokenizer.json")
    parser.add_argument("--out", required=True, help="windows.parquet: window, row (id among the held-out rows), tokens")


def run(arguments):
    settings, stream = read_settings(arguments, Baselines), read_json_option(arguments.stream_settings, WheelStream, "--stream-settings")
    vocab_size = stream.tokenizer.vocab_size
    listed, made = documents.read_list(arguments.documents), tokenizer.read(arguments.tokenizer, vocab_size)
    rows = heldout.heldout_rows(listed, Path(arguments.wheels), made, stream.row_tokens)
    ids = heldout.draw(len(rows), settings.windows, settings.seed)
    made_of = identity(
        "heldout",
        {"documents": arguments.documents, "tokenizer": arguments.tokenizer},
        {**settings.model_dump(), "row_tokens": stream.row_tokens},
        packages=["datasets", "numpy", "tokenizers"],
        vocab_size=vocab_size,
        sampling="heldout",
    )
    windows.write(arguments.out, ids, rows[ids], made_of)
    print(f"{len(ids)} of {len(rows)} held-out rows of {stream.row_tokens} tokens, seed {settings.seed}")
    return [arguments.out]
