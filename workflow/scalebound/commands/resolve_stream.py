"""Fix what a stream that the workflow does not make is: commit, files, rows (network for streams of the hub)."""

from scalebound.artifacts import atomic
from scalebound.artifacts.provenance import identity
from scalebound.commands.arguments import add_settings, read_json_option, read_settings
from scalebound.configuration.config import Hub
from scalebound.configuration.streams import Stream

GROUP = "streams and training"
NETWORK = True


def add_arguments(parser):
    add_settings(parser, Stream)
    parser.add_argument("--hub", required=True, metavar="JSON", help="the Hub section of the configuration, as JSON")
    parser.add_argument("--out", required=True, help="resolved.json: settings, commit, files with sizes, rows")


def run(arguments):
    from scalebound.streams.opening import describe

    settings, hub = read_settings(arguments, Stream), read_json_option(arguments.hub, Hub, "--hub")
    found = describe(settings, hub)
    made_of = identity("resolve-stream", {}, settings.model_dump(mode="json"), packages=["huggingface_hub"])
    atomic.write_json(arguments.out, {"identity": made_of, "stream": settings.model_dump(mode="json"), "found": found})
    print(f"{settings.kind} stream: " + ", ".join(f"{key} {value}" for key, value in found.items() if isinstance(value, (int, str))))
    return [arguments.out]
