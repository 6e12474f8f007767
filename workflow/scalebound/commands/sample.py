"""Draw windows uniformly with replacement from the rows that a checkpoint saw."""

from scalebound import sampling, windows
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.config import Draw
from scalebound.corpus.rows import open_rows
from scalebound.errors import InputError
from scalebound.provenance import identity


def add_arguments(parser):
    add_settings(parser, Draw)
    parser.add_argument("--tokens", required=True, help="tokens.bin")
    parser.add_argument("--stream", required=True, help="stream.json")
    parser.add_argument("--tokens-seen", required=True, type=int, help="predictions that the checkpoint was trained on")
    parser.add_argument("--out", required=True, help="windows.parquet: window, row, tokens")


def run(arguments):
    settings = read_settings(arguments, Draw)
    rows, stream = open_rows(arguments.tokens, arguments.stream)
    seen = sampling.rows_seen(arguments.tokens_seen, stream["row_tokens"])
    if seen > len(rows):
        raise InputError("tokens_seen", f"{arguments.tokens_seen} are {seen} rows, the stream has {len(rows)}", "Correct the table of checkpoints")
    ids = sampling.draw_rows(seen, settings.windows, settings.seed)
    used = {**settings.model_dump(), "tokens_seen": arguments.tokens_seen, "rows_seen": seen}
    made_of = identity("sample", {"tokens": arguments.tokens, "stream": arguments.stream}, used, packages=["datasets", "numpy"])
    windows.write(arguments.out, ids, rows.read(ids), {**made_of, "vocab_size": stream["vocab_size"]})
    print(f"{settings.windows} windows of {stream['row_tokens']} tokens from rows [0, {seen}), seed {settings.seed}")
    return [arguments.out]
