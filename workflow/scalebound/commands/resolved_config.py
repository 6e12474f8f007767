"""Write the configuration of a family's results: every default filled in, and its rows of the table of checkpoints."""

from scalebound.artifacts import atomic
from scalebound.artifacts.provenance import identity, parse_json
from scalebound.configuration.checkpoints import read_table, rows_digest, select
from scalebound.configuration.config import parse_config
from scalebound.errors import InputError

GROUP = "the project itself"


def add_arguments(parser):
    parser.add_argument("--config", required=True, metavar="JSON", help="the whole configuration with one family, as JSON")
    parser.add_argument("--rows-sha256", required=True, help="digest of the family's rows, which are read from the table that the configuration names")
    parser.add_argument("--out", required=True, help="config.json")


def run(arguments):
    config = parse_config(parse_json(arguments.config, "--config"))
    rows = select(read_table(config.checkpoints), config.families, config.checkpoints)
    if rows_digest(rows) != arguments.rows_sha256:
        raise InputError(config.checkpoints, "changed since the workflow read it", "Run snakemake again")
    content = {"config": config.model_dump(), "checkpoints": [row.model_dump() for row in rows]}
    atomic.write_json(arguments.out, {"identity": identity("resolved-config", {}, {}), **content})
    print(f"configuration in {arguments.out}")
    return [arguments.out]
