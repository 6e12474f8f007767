"""What a run on released checkpoints will take, checkpoint by checkpoint, and what of it is done already (network: configurations only)."""

import os
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from scalebound.artifacts.provenance import parse_json, read_json
from scalebound.configuration.checkpoints import is_certified
from scalebound.counts import short_count
from scalebound.errors import InputError
from scalebound.plan.plan import Plan, hub_file
from scalebound.plan.run_costs import EFFICIENCY, Work, estimate, scored_tokens
from scalebound.plan.stages.checkpoints import weights_folder

GROUP = "reading results"
NETWORK = True

STAGES = {"fetched": "fetch/fetched.json", "drawn": "sample/score/windows.parquet", "scored": "score/scores.parquet"}
UNKNOWN = "?"


def add_arguments(parser):
    parser.add_argument("--config", required=True, metavar="JSON", help="the whole configuration with one family, as JSON")
    parser.add_argument("--results", default="results", help="the results folder")
    parser.add_argument("--offline", action="store_true", help="without the hub: what follows from the configuration, and sizes where they are known already")


def run(arguments):
    plan, results = Plan.from_configuration(parse_json(arguments.config, "--config")), Path(arguments.results)
    located = located_rows(plan, results, partly=arguments.offline)
    costs = {row.slug: _cost(plan, row, located, arguments.offline) for row in plan.checkpoints.values()}
    _print(plan, located, costs, results)
    return []


def located_rows(plan, results, partly=False):
    """{slug: what was found out} of the released checkpoints and of their references, `partly`: of those of which it was.

    Raises InputError where two steps share weights.
    """
    from scalebound.hub.shared_weights import shared_weights

    needs = {"hub": dict}
    rows = [row for family in plan.config.families for row in plan.released_of(family)]
    files = {row.slug: results.parent / hub_file(row).replace("results", results.name, 1) for row in rows}
    located = {slug: read_json(file, "resolve-hub", needs)["hub"] for slug, file in files.items() if file.exists() or not partly}
    for one, other, digest in shared_weights(located, plan.config.hub.known_equal):
        found = f"steps {located[one]['step']} and {located[other]['step']} share a weight file, {digest}"
        raise InputError(f"{one} and {other}", found, "One of them is a wrong upload: name another step or repository, or list the pair in hub.known_equal")
    return located


def _cost(plan, row, located, offline):
    """The Cost of a row, its references among what it downloads; None where `offline` nothing tells its architecture."""
    hub = located.get(row.slug)
    if row.source != "hub":
        folder = Path(weights_folder(row))
    elif hub is None:
        return None
    else:
        folder = _configuration(hub, plan.config.hub.attempts, offline)
    if offline and (folder is None or not (folder / "config.json").is_file()):
        return None
    from scalebound.models.architecture import describe

    size = sum(file["size"] for slug in (row.slug, *_references(plan, row)) for file in located.get(slug, {"files": []})["files"])
    return estimate(describe(folder)["parameters"], size, plan.config, plan.config.streams[row.stream].row_tokens, _work(plan, row))


def _work(plan, row):
    return Work(plan.quantizers_of_row(row), row.tokens_seen, is_certified(row, plan.config.certificate), bool(plan.history_of(row)))


def _references(plan, row):
    return [reference.slug for reference in plan.references_of(row)]


def _configuration(hub, attempts, offline):
    """Folder with the checkpoint's config.json alone; None where `offline` the cache does not hold it."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    from scalebound.hub import cache
    from scalebound.hub.retrying import Patience, retry

    if offline:
        cached = try_to_load_from_cache(hub["repo"], "config.json", revision=hub["commit"])
        return Path(cached).parent if isinstance(cached, str) else None
    where = f"{hub['repo']} at {hub['revision']}: config.json"
    with cache.writable():
        return Path(retry(lambda: hf_hub_download(hub["repo"], "config.json", revision=hub["commit"]), where, Patience(attempts=attempts))).parent


def _print(plan, located, costs, results):
    console = Console(width=None if os.isatty(1) else 170)
    known = [cost for cost in costs.values() if cost is not None]
    device, rates = _measured(plan.config.scoring) if known else (None, None)
    rows = [
        {
            "checkpoint": slug,
            **_of_configuration(plan, row),
            "references": _of_references(located, _references(plan, row)),
            **_of_model(located.get(slug), costs[slug], rates),
            "done already": _done(plan.quantizers_of_row(row), results / family / slug),
        }
        for (family, slug), row in plan.checkpoints.items()
    ]
    table = Table(box=box.SIMPLE_HEAD)
    columns = [name for name in rows[0] if any(row[name] != UNKNOWN for row in rows)]
    for name in columns:
        table.add_column(name, justify="left" if name in ("checkpoint", "done already") else "right", no_wrap=name == "checkpoint")
    for row in rows:
        table.add_row(*(row[name] for name in columns))
    console.print(table)
    if len(known) < len(costs):
        console.print(f"Without the hub: sizes and hours of {len(costs) - len(known)} of {len(costs)} checkpoints are not known", highlight=False)
    if known:
        _print_totals(console, plan.config.scoring, known, device, rates)


def _measured(scoring):
    """The device that scores, and the rates of its matrix products: of scoring, and of tuning in fp32."""
    from scalebound.models import files
    from scalebound.quantization.rate.tuning import fast_products

    device = files.choose_device(scoring.device)
    with fast_products(device):
        return device, [files.matrix_product_rate(device, dtype) for dtype in (scoring.dtype, "float32")]


def _of_configuration(plan, row):
    work, windows = _work(plan, row), str(plan.config.sampling.score.windows)
    scored = scored_tokens(plan.config, plan.stream_of(row).row_tokens, work)
    return {"step": str(row.step), "tokens seen": short_count(row.tokens_seen), "windows": windows, "tokens scored": short_count(scored)}


def _of_references(located, slugs):
    """How many there are, and their size where it is known."""
    known = slugs and all(slug in located for slug in slugs)
    return str(len(slugs)) + (f", {_gigabytes(sum(file['size'] for slug in slugs for file in located[slug]['files']))}" if known else "")


def _of_model(hub, cost, rates):
    """Sizes of what is stored, operations and hours, where they are known."""
    cells = dict.fromkeys(("download", "memory to score", "to quantize", "results", "operations", "hours", "tuning"), UNKNOWN)
    if hub is not None:
        cells["download"] = _gigabytes(sum(file["size"] for file in hub["files"]))
    if cost is not None:
        sizes = {"memory to score": cost.score_memory_bytes, "to quantize": cost.quantize_memory_bytes, "results": cost.results_bytes}
        cells |= {name: _gigabytes(size) for name, size in sizes.items()} | {"operations": f"{cost.operations + cost.tuning_operations:.1e}"}
        cells |= {"hours": f"{cost.hours(*rates):.2f}", "tuning": f"{cost.tuning_hours(rates[1]):.2f}"}
    return cells


def _gigabytes(size):
    return f"{size / 1e9:.1f} GB"


def _print_totals(console, scoring, costs, device, rates):
    from scalebound.models import files

    console.print(
        f"{files.device_name(device)}: {rates[0] / 1e12:.2f} TFLOP/s measured on {scoring.dtype} matrix products, {rates[1] / 1e12:.2f} on those of "
        f"tuning, of which {EFFICIENCY:.0%} "
        f"are counted on: {sum(cost.hours(*rates) for cost in costs):.1f} hours in all, {sum(c.download_bytes for c in costs) / 1e9:.0f} GB to download, "
        f"{sum(c.results_bytes for c in costs) / 1e9:.0f} GB of results.",
        highlight=False,
        soft_wrap=True,
    )
    largest = max(cost.quantize_memory_bytes for cost in costs)
    if device.type == "cuda" and largest > files.device_memory():
        console.print(f"notice: {largest / 1e9:.0f} GB to quantize do not fit into one device's memory, and `quantize` uses one: run on a larger device")


def _done(quantizers, folder):
    done = [name for name, path in STAGES.items() if (folder / path).exists()]
    bounds = sum((folder / f"quantizers/{name}/bound/bounds.json").exists() for name in quantizers)
    return ", ".join([*done, *([f"{bounds} of {len(quantizers)} bounds"] if bounds else [])]) or "nothing"
