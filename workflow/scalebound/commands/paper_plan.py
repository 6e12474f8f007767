"""What a run on released checkpoints will take, checkpoint by checkpoint, and what of it is done already (network: configurations only)."""

import os
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from scalebound.artifacts.provenance import parse_json, read_json
from scalebound.counts import short_count
from scalebound.errors import InputError
from scalebound.plan.plan import Plan
from scalebound.plan.run_costs import EFFICIENCY, estimate
from scalebound.plan.stages.checkpoints import weights_folder

GROUP = "reading results"
NETWORK = True

STAGES = {"fetched": "fetch/fetched.json", "drawn": "sample/score/windows.parquet", "scored": "score/scores.parquet"}


def add_arguments(parser):
    parser.add_argument("--config", required=True, metavar="JSON", help="the whole configuration with one family, as JSON")
    parser.add_argument("--results", default="results", help="the results folder")


def run(arguments):
    from scalebound.models import files

    plan = Plan.from_configuration(parse_json(arguments.config, "--config"))
    device = files.choose_device(plan.config.scoring.device)
    rate = files.matrix_product_rate(device, plan.config.scoring.dtype)
    located = located_rows(plan, Path(arguments.results))
    costs = {row.slug: _cost(plan, row, located.get(row.slug)) for row in plan.checkpoints.values()}
    _print(plan, costs, device, rate, Path(arguments.results))
    return []


def located_rows(plan, results):
    """{slug: what was found out} of the released checkpoints. Raises InputError where two steps share weights."""
    from scalebound.hub.shared_weights import shared_weights

    needs = {"hub": dict}
    rows = [name for name, row in plan.checkpoints.items() if row.source == "hub"]
    located = {slug: read_json(results / family / slug / "resolve/hub.json", "resolve-hub", needs)["hub"] for family, slug in rows}
    for one, other, digest in shared_weights(located, plan.config.hub.known_equal):
        found = f"steps {located[one]['step']} and {located[other]['step']} share a weight file, {digest}"
        raise InputError(f"{one} and {other}", found, "One of them is a wrong upload: name another step or repository, or list the pair in hub.known_equal")
    return located


def _cost(plan, row, hub):
    from scalebound.models.architecture import describe

    row_tokens = plan.config.streams[row.stream].row_tokens
    if hub is None:
        folder = Path(weights_folder(row))
        return estimate(describe(folder)["parameters"], 0, plan.config, row_tokens)
    folder = _configuration(hub, plan.config.hub.attempts)
    return estimate(describe(folder)["parameters"], sum(file["size"] for file in hub["files"]), plan.config, row_tokens)


def _configuration(hub, attempts):
    """Folder with the checkpoint's config.json alone."""
    from huggingface_hub import hf_hub_download

    from scalebound.hub.retrying import Patience, retry

    where = f"{hub['repo']} at {hub['revision']}: config.json"
    return Path(retry(lambda: hf_hub_download(hub["repo"], "config.json", revision=hub["commit"]), where, Patience(attempts=attempts))).parent


def _print(plan, costs, device, rate, results):
    from scalebound.models import files

    console = Console(width=None if os.isatty(1) else 132)
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("checkpoint", "download", "memory to score", "to quantize", "results", "tokens scored", "operations", "hours", "done already"):
        table.add_column(name, justify="left" if name in ("checkpoint", "done already") else "right")
    for (family, slug), _ in plan.checkpoints.items():
        cost = costs[slug]
        sizes = (cost.download_bytes, cost.score_memory_bytes, cost.quantize_memory_bytes, cost.results_bytes)
        cells = [f"{size / 1e9:.1f} GB" for size in sizes]
        table.add_row(slug, *cells, short_count(cost.scored_tokens), f"{cost.operations:.1e}", f"{cost.hours(rate):.2f}", _done(plan, results / family / slug))
    console.print(table)
    total = sum(cost.hours(rate) for cost in costs.values())
    console.print(
        f"{files.device_name(device)}: {rate / 1e12:.2f} TFLOP/s measured on {plan.config.scoring.dtype} matrix products, of which {EFFICIENCY:.0%} "
        f"are counted on: {total:.1f} hours in all, {sum(c.download_bytes for c in costs.values()) / 1e9:.0f} GB to download, "
        f"{sum(c.results_bytes for c in costs.values()) / 1e9:.0f} GB of results.",
        highlight=False,
        soft_wrap=True,
    )
    largest = max(cost.quantize_memory_bytes for cost in costs.values())
    if device.type == "cuda" and largest > files.device_memory():
        console.print(f"notice: {largest / 1e9:.0f} GB to quantize do not fit into one device's memory; with several, models are spread over them")


def _done(plan, folder):
    done = [name for name, path in STAGES.items() if (folder / path).exists()]
    bounds = sum((folder / f"quantizers/{name}/bound/bounds.json").exists() for name in plan.config.quantize_with)
    return ", ".join([*done, *([f"{bounds} of {len(plan.config.quantize_with)} bounds"] if bounds else [])]) or "nothing"
