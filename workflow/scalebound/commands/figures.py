"""Draw one figure of a family from its table of bounds."""

import importlib

from scalebound.artifacts.family_tables import RECIPE_SHARE, read_family_table
from scalebound.artifacts.provenance import identity
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.configuration.types import Model, Slug
from scalebound.errors import InputError
from scalebound.figures import style

GROUP = "reading results"


class Settings(Model):
    """A module of `figures`, and the quantizer whose rows are drawn where it draws those of one."""

    figure: str
    quantizer: Slug


def add_arguments(parser):
    add_settings(parser, Settings)
    parser.add_argument("--table", required=True, help="the table of the family that the figure is drawn from")
    parser.add_argument("--png", required=True, help="figure.png")
    parser.add_argument("--pdf", required=True, help="figure.pdf")


def run(arguments):
    settings = read_settings(arguments, Settings)
    drawn = draw(read_table_of(settings.figure, arguments.table), settings.figure, settings.quantizer, arguments.table)
    made_of = identity("figures", {"table": arguments.table}, settings.model_dump(), packages=["matplotlib", "pandas"], chosen=settings.figure)
    style.save(drawn, arguments.png, arguments.pdf, made_of)
    print(f"{arguments.png} and {arguments.pdf}")
    return [arguments.png, arguments.pdf]


def read_table_of(figure, path):
    """The table at `path`, checked as the one that the figure is drawn from. Raises InputError when it is none."""
    return read_family_table(path, _module(figure).TABLE)


def draw(table, figure, quantizer, where):
    """The matplotlib figure named `figure` from a table of a family; `where` names the table in errors."""
    module = _module(figure)
    if getattr(module, "ONE_QUANTIZER", False):
        table = table[table["quantizer"] == quantizer]
    if table.empty:
        raise InputError(where, f"no row of quantizer {quantizer!r}", "Set paper_quantizer to one of the quantizers")
    drawn = module.draw(table)
    if getattr(module, "ONE_QUANTIZER", False):
        style.note(drawn, [f"{row['checkpoint']}: GPTQ share {row['gptq_share']:.2f}" for _, row in table.iterrows() if row["gptq_share"] < RECIPE_SHARE])
    return drawn


def _module(figure):
    try:
        module = importlib.import_module(f"scalebound.figures.{figure}")
    except ModuleNotFoundError:
        module = None
    if not hasattr(module, "TABLE"):
        raise InputError("--settings", f"no figure {figure!r}", "Name a module of scalebound.figures that draws one")
    return module
