"""Print the code digest of a stage: the same for every comment, docstring and format of its modules."""

from scalebound.artifacts.code_digest import stage_digest
from scalebound.commands import described
from scalebound.errors import InputError

GROUP = "the project itself"
EXAMPLE = "score"


def add_arguments(parser):
    parser.add_argument("stage", help="a subcommand, such as score")


def run(arguments):
    if described(arguments.stage) is None:
        raise InputError("stage", f"no command {arguments.stage!r}", "See scalebound --help")
    print(stage_digest(arguments.stage))
    return []
