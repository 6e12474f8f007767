"""Draw windows uniformly with replacement from the rows that a checkpoint saw."""

from pathlib import Path

from scalebound.artifacts import windows
from scalebound.artifacts.provenance import identity, read_json
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.configuration.config import Draw
from scalebound.corpus.rows import MAKERS, open_rows
from scalebound.scoring import sampling

GROUP = "checkpoints"

PACKAGES = ["datasets", "numpy"]


def add_arguments(parser):
    add_settings(parser, Draw)
    parser.add_argument("--stream", required=True, help="stream.json of tokens.bin beside it, or resolved.json of another stream")
    parser.add_argument("--tokens", help="tokens.bin (default: beside stream.json)")
    parser.add_argument("--tokens-seen", required=True, type=int, help="predictions that the checkpoint was trained on")
    parser.add_argument("--out", required=True, help="windows.parquet: window, row, tokens")


def run(arguments):
    settings, listing = read_settings(arguments, Draw), read_json(arguments.stream, (*MAKERS, "resolve-stream"))
    if listing["identity"]["stage"] in MAKERS:
        tokens = arguments.tokens or Path(arguments.stream).with_name("tokens.bin")
        stream, _ = open_rows(tokens, arguments.stream)
        write_draw("sample", stream, {"tokens": tokens, "stream": arguments.stream}, settings, arguments)
    else:
        from scalebound.streams.opening import listed_settings, open_local

        ordered = listed_settings(listing, arguments.stream).ordered
        write_draw("sample", open_local(listing, arguments.stream), {"stream": arguments.stream}, settings, arguments, ordered)
    return [arguments.out]


def write_draw(stage, stream, inputs, settings, arguments, ordered=True, **reading):
    """Draw rows of what was seen, read them, and store both with what determines them."""
    seen = sampling.rows_to_draw_from(stream, arguments.tokens_seen, ordered)
    ids = sampling.draw_rows(seen, settings.windows, settings.seed)
    used = {**settings.model_dump(), "tokens_seen": arguments.tokens_seen, "rows_seen": seen}
    made_of = identity(stage, inputs, used, packages=PACKAGES, vocab_size=stream.vocab_size, sampling="unbiased" if stream.unbiased else "approximate")
    windows.write(arguments.out, ids, stream.read(ids, **reading), made_of)
    print(f"{settings.windows} windows of {stream.row_tokens} tokens from rows [0, {seen}), seed {settings.seed}, {made_of['sampling']}")
