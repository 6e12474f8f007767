"""Write the JSON schemas of configuration and table of checkpoints, for editors; the workflow validates by the models."""

from pathlib import Path

from scalebound.artifacts import atomic
from scalebound.configuration.checkpoints import Checkpoint
from scalebound.configuration.config import Config

GROUP = "the project itself"
EXAMPLE = "--out workflow/schemas"

SCHEMAS = {"config.schema.json": Config, "checkpoints.schema.json": Checkpoint}


def add_arguments(parser):
    parser.add_argument("--out", required=True, help="folder for the schemas")


def run(arguments):
    for name, model in SCHEMAS.items():
        atomic.write_json(Path(arguments.out) / name, model.model_json_schema())
        print(Path(arguments.out) / name)
    return [Path(arguments.out) / name for name in SCHEMAS]
