"""Draw one figure of a family from its table of bounds."""

from scalebound.artifacts.family_tables import TABLES, read_family_table
from scalebound.artifacts.provenance import identity
from scalebound.errors import InputError
from scalebound.figures import (
    ablations,
    baselines,
    bounds_by_size,
    certificates,
    comparison,
    gap_law,
    hessian,
    information,
    loss_variation,
    oracle,
    overtraining,
    quantizability,
    rates,
    scaling_law,
    spectra,
    style,
    terms,
    trajectory,
)
from scalebound.plan.plan import FIGURES as TABLE_OF

FIGURES = {
    "bounds_by_size": bounds_by_size,
    "terms": terms,
    "loss_variation": loss_variation,
    "rates": rates,
    "comparison": comparison,
    "certificates": certificates,
    "oracle": oracle,
    "information": information,
    "scaling_law": scaling_law,
    "gap_law": gap_law,
    "ablations": ablations,
    "overtraining": overtraining,
    "trajectory": trajectory,
    "baselines": baselines,
    "quantizability": quantizability,
    "spectra": spectra,
    "hessian": hessian,
}
# drawn from the rows of one quantizer
ONE_QUANTIZER = ("bounds_by_size", "terms", "loss_variation")


def add_arguments(parser):
    parser.add_argument("--table", required=True, help="the table of the family that the figure is drawn from")
    parser.add_argument("--figure", required=True, choices=list(FIGURES))
    parser.add_argument("--quantizer", required=True, help="the quantizer whose rows are drawn")
    parser.add_argument("--png", required=True)
    parser.add_argument("--pdf", required=True)


def run(arguments):
    drawn = draw(read_table_of(arguments.figure, arguments.table), arguments.figure, arguments.quantizer, arguments.table)
    settings = {"figure": arguments.figure, "quantizer": arguments.quantizer}
    style.save(drawn, arguments.png, arguments.pdf, identity("figures", {"table": arguments.table}, settings, packages=["matplotlib", "pandas"]))
    print(f"{arguments.png} and {arguments.pdf}")
    return [arguments.png, arguments.pdf]


def read_table_of(figure, path):
    """The table at `path`, checked as the one that the figure is drawn from. Raises InputError when it is none."""
    return read_family_table(path, TABLES[TABLE_OF[figure]])


def draw(table, figure, quantizer, where):
    """The matplotlib figure named `figure` from a table of bounds; `where` names the table in errors."""
    if figure in ONE_QUANTIZER:
        table = table[table["quantizer"] == quantizer]
    if table.empty:
        raise InputError(where, f"no row of quantizer {quantizer!r}", "Set paper_quantizer to one of the quantizers")
    return FIGURES[figure].draw(table)
