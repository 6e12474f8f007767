"""Print the table of a family: one line a checkpoint, with the paper's bound, Azuma's, and the best quantizer."""

import json
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from scalebound.config import parse_config
from scalebound.counts import short_count
from scalebound.errors import InputError


def add_arguments(parser):
    parser.add_argument("--config", required=True, help="results/config.json of the run")
    parser.add_argument("--report", help="where the HTML report is")


def run(arguments):
    config = _read_config(arguments.config)
    results, console = Path(arguments.config).parent, Console()
    for family in config.families:
        table = results / family / "bounds.csv"
        console.print(build(_read_table(table), config.paper_quantizer, table))
        console.print(f"figures  {results / family / 'figures'}/", highlight=False, soft_wrap=True)
    if arguments.report:
        console.print(f"report   {arguments.report}", highlight=False, soft_wrap=True)


def _read_config(path):
    try:
        return parse_config(json.loads(Path(path).read_text(encoding="utf-8")), path)
    except (FileNotFoundError, ValueError) as error:
        raise InputError(path, str(error), "Run snakemake first") from None


def _read_table(path):
    try:
        return pd.read_csv(path)
    except (FileNotFoundError, ValueError) as error:
        raise InputError(path, str(error), "Run snakemake first") from None


def build(bounds, quantizer, path):
    """A rich table of a family's bounds."""
    if quantizer not in set(bounds["quantizer"]):
        raise InputError(path, f"no row of quantizer {quantizer!r}", "Name one of the configured quantizers")
    table = Table(title=f"{path}: estimates in nats per token", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, caption_justify="left")
    headings = ("checkpoint", "parameters", "tokens", "training\nloss", "paper's\nbound", "Azuma\nbound", "best quantizer", "coded\nbits", "its (F)\nbound")
    for name in headings:
        table.add_column(name, justify="left" if name in ("checkpoint", "best quantizer") else "right", no_wrap=True)
    for slug, rows in bounds.groupby("checkpoint", sort=False):
        shown = rows[rows["quantizer"] == quantizer].iloc[0]
        best = rows.loc[rows["freedman_bound_coded"].idxmin()]
        counts = [short_count(shown[name]) for name in ("n_params", "n_tokens")]
        bounds_shown = [f"{shown[name]:.3f}" for name in ("train_loss", "paper_bound", "azuma_bound")]
        table.add_row(slug, *counts, *bounds_shown, best["quantizer"], f"{best['coded_bits_per_param']:.2f}", f"{best['freedman_bound_coded']:.3f}")
    table.caption = f"paper's and Azuma's bound: {quantizer} at its nominal bits; best: least (F) at the length of model.sbq"
    return table
