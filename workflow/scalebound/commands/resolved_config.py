"""Write the configuration of a family's results: every default filled in, and its rows of the table of checkpoints."""

import json

from scalebound.artifacts import atomic
from scalebound.artifacts.provenance import identity


def add_arguments(parser):
    parser.add_argument("--config", required=True, metavar="JSON", help="{config, checkpoints} as JSON")
    parser.add_argument("--out", required=True, help="where to write it")


def run(arguments):
    atomic.write_json(arguments.out, {"identity": identity("resolved-config", {}, {}), **json.loads(arguments.config)})
    print(f"configuration in {arguments.out}")
    return [arguments.out]
