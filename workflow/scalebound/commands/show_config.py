"""Write the configuration of a run, with every default filled in."""

import json

from scalebound import atomic
from scalebound.config import parse_config


def add_arguments(parser):
    parser.add_argument("--config", required=True, metavar="JSON", help="the configuration as JSON")
    parser.add_argument("--out", required=True, help="where to write it")


def run(arguments):
    config = parse_config(json.loads(arguments.config), "--config")
    atomic.write_json(arguments.out, config.model_dump())
    print(f"configuration in {arguments.out}")
