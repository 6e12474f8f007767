"""Print the table of a family: one line a checkpoint, with the paper's bound, Azuma's, and the best quantizer."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from scalebound.artifacts.family_tables import CERTIFICATES, RECIPE_SHARE, read_family_table
from scalebound.artifacts.provenance import check_keys, read_json
from scalebound.counts import short_count
from scalebound.errors import InputError

GROUP = "reading results"
EXAMPLE = "--results results"

LOOK = {"box": None, "padding": (0, 1, 0, 0), "collapse_padding": True, "title_style": "bold", "title_justify": "left"}


def add_arguments(parser):
    parser.add_argument("--results", default="results", help="folder of the results")
    parser.add_argument("--report", help="where the HTML report is")


def run(arguments):
    console = Console()
    for saved in _saved_configurations(Path(arguments.results)):
        table = saved.parent / "bounds.csv"
        quantizer = _paper_quantizer(saved)
        bounds = read_family_table(table)
        console.print(build(bounds, quantizer, table))
        console.print(f"{about(bounds[bounds['quantizer'] == quantizer], quantizer)}\n", style="dim")
        certificates = saved.parent / "certificates.csv"
        if certificates.exists():
            console.print(build_certificates(read_family_table(certificates, CERTIFICATES), certificates))
            console.print("gap: above the training loss, as a share of the paper's recipe's; check one: scalebound verify FOLDER\n", style="dim")
        console.print(f"figures  {saved.parent / 'figures'}/", highlight=False, soft_wrap=True)
    if arguments.report:
        console.print(f"report   {arguments.report}", highlight=False, soft_wrap=True)
    return []


def _saved_configurations(results):
    found = sorted(results.glob("*/config.json"))
    if not found:
        raise InputError(results, "no family with a config.json", "Run snakemake first")
    return found


def _paper_quantizer(saved):
    config = read_json(saved, "resolved-config", {"config": dict})["config"]
    check_keys(config, {"paper_quantizer": str}, saved)
    return config["paper_quantizer"]


def about(rows, quantizer):
    """What the columns of `build` are, and how much of the weights GPTQ covered in the rows of the paper's quantizer."""
    shares = " to ".join(sorted({f"{share:.2f}" for share in (rows["gptq_share"].min(), rows["gptq_share"].max())}))
    text = f"paper's and Azuma's bound: {quantizer} at nominal bits, {shares} of what layers multiply by GPTQ; best: least (F) at coded bits"
    return text + (f"\n* not the paper's recipe: less than {RECIPE_SHARE} by GPTQ" if (rows["gptq_share"] < RECIPE_SHARE).any() else "")


def build(bounds, quantizer, path):
    """A rich table of a family's bounds."""
    if quantizer not in set(bounds["quantizer"]):
        raise InputError(path, f"no row of quantizer {quantizer!r}", "Name one of the configured quantizers")
    table = Table(title=f"{path}: estimates in nats per token", **LOOK)
    headings = ("checkpoint", "params", "tokens", "training\nloss", "paper's\nbound", "Azuma\nbound", "best\nquantizer", "coded\nbits", "bound\n(F)")
    for name in headings:
        table.add_column(name, justify="left" if name in ("checkpoint", "best\nquantizer") else "right", no_wrap=True)
    for slug, rows in bounds.groupby("checkpoint", sort=False):
        shown = rows[rows["quantizer"] == quantizer].iloc[0]
        best = rows.loc[rows["freedman_bound_coded"].idxmin()]
        counts = [short_count(shown[name]) for name in ("n_params", "n_tokens")]
        bounds_shown = [f"{shown[name]:.3f}" for name in ("train_loss", "paper_bound", "azuma_bound")]
        bounds_shown[1] += "*" if shown["gptq_share"] < RECIPE_SHARE else ""
        table.add_row(slug, *counts, *bounds_shown, best["quantizer"], f"{best['coded_bits_per_param']:.2f}", f"{best['freedman_bound_coded']:.3f}")
    return table


def build_certificates(certificates, path):
    """A rich table of a family's certificates."""
    table = Table(title=f"{path}: certificates in nats per token", **LOOK)
    for name in ("checkpoint", "quantizer", "coded\nbits", "training\nloss", "paper's\nrecipe", "certificate", "gap"):
        table.add_column(name, justify="left" if name in ("checkpoint", "quantizer") else "right", no_wrap=True)
    for _, row in certificates.iterrows():
        numbers = [f"{row[name]:.3f}" for name in ("train_loss", "paper_recipe", "certificate")]
        numbers = [*numbers, f"x {row['gap_ratio']:.2f}"]
        # where GPTQ covered too little there is no recipe to compare with
        table.add_row(row["checkpoint"], row["quantizer"], f"{row['coded_bits_per_param']:.2f}", *("-" if "nan" in n else n for n in numbers))
    return table
