"""Print what a run took, from its run records: CPU and wall time and memory, by stage and by checkpoint.

Every record in the folder counts, also those of checkpoints that the configuration no longer names. Wall times are added up
over jobs, which may have run side by side. CPU time is that of the jobs: what they share in a warm process is imported once a run
and counted nowhere.
"""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scalebound.artifacts.provenance import read_json
from scalebound.artifacts.run_records import add_up, costs_by_stage_and_checkpoint
from scalebound.counts import short_count
from scalebound.errors import printable

GROUP = "reading results"
EXAMPLE = "results --figure costs.png"

SHARED = "shared"  # streams, tables and figures belong to no checkpoint
LOOK = {"box": None, "padding": (0, 1, 0, 0), "collapse_padding": True, "title_style": "bold", "title_justify": "left"}


def add_arguments(parser):
    parser.add_argument("results", nargs="?", default="results", help="the folder results/ (default: results)")
    parser.add_argument("--figure", metavar="PNG", help="also draw CPU time by stage and checkpoint here; .pdf and .svg are taken as well")


def run(arguments):
    results = Path(arguments.results)
    costs, sizes = costs_by_stage_and_checkpoint(results), _sizes(results)
    stages = add_up((stage, cost) for (stage, _), cost in costs.items())
    checkpoints = _by_size(add_up((checkpoint, cost) for (_, checkpoint), cost in costs.items()), sizes)
    total, console = sum(cost.cpu_s for cost in costs.values()), Console()
    most_first = sorted(stages.items(), key=lambda item: -item[1].cpu_s)
    console.print(build(f"{results}: by stage", ("stage",), [((stage,), cost) for stage, cost in most_first], total))
    console.print(build("by checkpoint", ("checkpoint", "params"), [(_named(name, sizes), cost) for name, cost in checkpoints.items()], total))
    if not arguments.figure:
        return []
    draw_figure(costs, checkpoints, arguments.figure)
    console.print(_plain(f"figure  {arguments.figure}"), soft_wrap=True)
    return [arguments.figure]


def draw_figure(costs, checkpoints, path):
    """Draw {(stage, checkpoint): Cost} to `path`, with the checkpoints in the given order."""
    from scalebound.figures import costs as figure
    from scalebound.figures import style

    seconds = {(stage, checkpoint or SHARED): cost.cpu_s for (stage, checkpoint), cost in costs.items()}
    style.save_alone(figure.draw(seconds, [checkpoint or SHARED for checkpoint in checkpoints], SHARED), path)


def build(title, names, rows, total):
    """A rich table of (texts for the columns `names`, Cost) pairs; `total` are the CPU seconds of all."""
    table = Table(title=_plain(title), **LOOK)
    for name in names:
        table.add_column(name, justify="right" if name == "params" else "left")
    for name in ("jobs", "CPU s", "share", "wall s", "peak MB"):
        table.add_column(name, justify="right", no_wrap=True)
    for texts, cost in rows:
        share = f"{cost.cpu_s / total:.0%}" if total else "-"
        numbers = [str(cost.jobs), f"{cost.cpu_s:,.1f}", share, f"{cost.wall_s:,.1f}", f"{cost.peak_rss_bytes / 1e6:,.0f}"]
        table.add_row(*map(_plain, texts), *numbers)
    if len(rows) > 1:
        jobs, wall = sum(cost.jobs for _, cost in rows), sum(cost.wall_s for _, cost in rows)
        largest = max(cost.peak_rss_bytes for _, cost in rows)
        table.add_section()
        table.add_row("all", *[""] * (len(names) - 1), str(jobs), f"{total:,.1f}", "", f"{wall:,.1f}", f"{largest / 1e6:,.0f}")
    return table


def _sizes(results):
    """{checkpoint: parameters} as far as their models have been resolved; of several of one name, the last."""
    sizes = {}
    for path in sorted(results.glob("*/*/resolve/resolved.json")):
        resolved = read_json(path, needs={"n_params": int})
        sizes[path.parts[-3]] = resolved["n_params"]
    return sizes


def _by_size(costs, sizes):
    """Smallest model first, then those of unknown size in their order, then what they share."""
    return dict(sorted(costs.items(), key=lambda item: (item[0] is None, item[0] not in sizes, sizes.get(item[0], 0))))


def _named(checkpoint, sizes):
    if checkpoint is None:
        return SHARED, ""
    return checkpoint, short_count(sizes[checkpoint]) if checkpoint in sizes else "-"


def _plain(text):
    """Names out of files are no markup for rich and no commands for the terminal."""
    return Text(printable(text), overflow="fold")
