"""Download the pinned wheels of a stream with pip, checked against their sha256 (the only corpus step that uses the network)."""

from pathlib import Path

from scalebound.artifacts import atomic
from scalebound.artifacts.provenance import describe_files, identity
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.configuration.streams import WheelStream
from scalebound.corpus import wheels

GROUP = "streams and training"
NETWORK = True


def add_arguments(parser):
    add_settings(parser, WheelStream)
    parser.add_argument("--folder", required=True, help="wheels: folder for them and fetched.json")


def run(arguments):
    settings = read_settings(arguments, WheelStream)
    print(f"fetching {len(settings.wheels)} wheels into {arguments.folder}")
    wheels.download(settings.wheels, arguments.folder)
    names = [wheel.file for wheel in settings.wheels]
    made_of = identity("fetch-corpus", {}, {"wheels": [wheel.model_dump() for wheel in settings.wheels]})
    listing = Path(arguments.folder) / "fetched.json"
    atomic.write_json(listing, {"identity": made_of, "files": describe_files(arguments.folder, names)})
    return [listing, *(Path(arguments.folder) / name for name in names)]
