"""Draw windows from a stream of the hub: the wanted rows are read by byte ranges, nothing else (network)."""

from pathlib import Path

from scalebound.artifacts.provenance import read_json
from scalebound.commands.arguments import add_settings, read_json_option, read_settings
from scalebound.commands.sample import write_draw
from scalebound.configuration.config import Draw, Hub

GROUP = "checkpoints"
NETWORK = True


def add_arguments(parser):
    add_settings(parser, Draw)
    parser.add_argument("--hub", required=True, metavar="JSON", help="the Hub section of the configuration, as JSON")
    parser.add_argument("--stream", required=True, help="resolved.json of the stream")
    parser.add_argument("--tokens-seen", required=True, type=int, help="predictions that the checkpoint was trained on")
    parser.add_argument("--out", required=True, help="windows.parquet: window, row, tokens")


def run(arguments):
    from scalebound.streams.opening import listed_settings, open_remote

    settings, hub = read_settings(arguments, Draw), read_json_option(arguments.hub, Hub, "--hub")
    listing = read_json(arguments.stream, "resolve-stream")
    stream = open_remote(listing, arguments.stream, hub, settings.seed)
    ordered, out = listed_settings(listing, arguments.stream).ordered, Path(arguments.out)
    # rows that have arrived wait beside the output, so that a killed job goes on where it stopped
    write_draw("fetch-windows", stream, {"stream": arguments.stream}, settings, arguments, ordered, resume=out.with_name(f".{out.name}.rows"))
    return [arguments.out]
