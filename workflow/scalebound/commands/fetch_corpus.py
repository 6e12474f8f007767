"""Download the pinned wheels of a stream with pip, checked against their sha256 (the only corpus step that uses the network)."""

from scalebound.commands.arguments import add_settings, read_settings
from scalebound.config import Stream
from scalebound.corpus import wheels


def add_arguments(parser):
    add_settings(parser, Stream)
    parser.add_argument("--folder", required=True, help="where the wheels go")


def run(arguments):
    settings = read_settings(arguments, Stream)
    print(f"fetching {len(settings.wheels)} wheels into {arguments.folder}")
    wheels.download(settings.wheels, arguments.folder)
