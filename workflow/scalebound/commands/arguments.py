"""Arguments that several commands share."""

import json

from scalebound.config import parse
from scalebound.errors import InputError


def add_settings(parser, model):
    parser.add_argument("--settings", required=True, metavar="JSON", help=f"the {model.__name__} section of the configuration, as JSON")


def read_settings(arguments, model):
    """Parse and validate `--settings`. Raises InputError with the offending key."""
    try:
        value = json.loads(arguments.settings)
    except ValueError as error:
        raise InputError("--settings", f"not JSON ({error})", "Pass the section of the configuration as one JSON object") from None
    return parse(model, value, "--settings")
