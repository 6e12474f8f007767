"""Arguments that several commands share."""

import argparse
import json

from scalebound.configuration.config import parse
from scalebound.configuration.types import members_of
from scalebound.errors import InputError
from scalebound.plan.braces import expanded


class Paths(argparse.Action):
    """Any number of paths; a word with braces stands for several (`plan.braces`)."""

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, [path for word in values for path in expanded(word)])


def add_settings(parser, model):
    members = (model,) if isinstance(model, type) else members_of(model)
    keys = " or ".join(", ".join(member.model_fields) for member in members)
    parser.add_argument("--settings", required=True, metavar="JSON", help=f"a section of the configuration as JSON: {keys}")


def read_settings(arguments, model):
    """Parse and validate `--settings`. Raises InputError with the offending key."""
    return read_json_option(arguments.settings, model, "--settings")


def read_json_option(text, model, option):
    """Parse and validate an option that holds a section of the configuration. Raises InputError with the offending key."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InputError(option, f"not JSON ({error})", "Pass the section of the configuration as one JSON object") from None
    return parse(model, value, option)
