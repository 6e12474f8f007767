"""One look for all figures: readable in grey and by the colour-blind, and the same bytes for the same data."""

import importlib.metadata
import json
import math
import os
from contextlib import contextmanager

# read when matplotlib is imported: what a notebook or a desktop names there may not even be installed
os.environ["MPLBACKEND"] = "agg"

import matplotlib as mpl
import matplotlib.pyplot as plt

from scalebound.artifacts import atomic
from scalebound.artifacts.provenance import KEY
from scalebound.counts import short_count
from scalebound.errors import InputError

# Okabe and Ito's palette, in an order whose luminance falls as well
ORANGE, SKY, GREEN, VERMILION, BLUE, BLACK = "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#0072B2", "#000000"
LINE_COLOURS, LINE_MARKERS = (SKY, GREEN, ORANGE, VERMILION, BLUE, BLACK), "osD^vP"
LINE_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
LEAST_TOKENS_PER_PARAM = 0.5  # where curves of training begin to be drawn: before, models only learn how often tokens occur
ALONE = ("png", "pdf", "svg")
WIDTH = 4.8  # inches: between one and two columns of a paper
LABEL_WIDTH = 0.18  # that a size takes on a narrow axis, as a share of it

_RC = {
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.5,
    "lines.markersize": 5,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 220,
    "pdf.fonttype": 42,
    "svg.hashsalt": KEY,
}


@contextmanager
def _house_style():
    """Matplotlib's defaults with ours, whatever a matplotlibrc of the user's says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


@contextmanager
def figure(height=3.2, width=WIDTH, **options):
    """(figure, axes) in the house style, closed afterwards; `options` go to `plt.subplots`."""
    with _house_style():
        drawn, axes = plt.subplots(figsize=(width, height), **options)
        yield drawn, axes
        plt.close(drawn)


def save(drawn, png, pdf, identity):
    """Write both formats with the identity in their metadata, and nothing that varies from run to run."""
    text = json.dumps(identity, sort_keys=True)
    with _house_style():
        with atomic.replacing(png) as temporary:
            drawn.savefig(temporary, format="png", metadata={"Software": None, KEY: text})
        with atomic.replacing(pdf) as temporary:
            drawn.savefig(temporary, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": KEY, "Keywords": text})


def save_alone(drawn, path):
    """Write a figure that is no artifact of a run, in the format that the name of its file says."""
    form = os.path.splitext(path)[1].removeprefix(".").lower()
    if form not in ALONE:
        raise InputError(path, f"a figure in the format {form!r}", f"Give it a name that ends in {', '.join(ALONE)}")
    with _house_style(), atomic.replacing(path) as temporary:
        drawn.savefig(temporary, format=form)


def note(drawn, others):
    """Say below a figure of the paper's recipe which checkpoints it does not hold for; nothing where there are none."""
    if others:
        drawn.supxlabel("not the paper's recipe, " + "; ".join(others), fontsize=7, wrap=True)


def package_version(name):
    """Installed version of a distribution that the look of a figure depends on."""
    return importlib.metadata.version(name)


def parameter_axis(axes, counts):
    """Logarithmic axis of parameters with one readable tick for each size: a label that would run into the one before it stands lower."""
    sizes, labels = sorted(set(counts)), []
    for before, size in zip([0, *sizes], sizes):
        crowded = labels and math.log(size / before) < LABEL_WIDTH * math.log(sizes[-1] / sizes[0]) and not labels[-1].startswith("\n")
        labels.append(("\n" if crowded else "") + short_count(size))
    axes.set_xscale("log")
    axes.set_xticks(sizes, labels)
    axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    axes.set_xlim(min(counts) / 1.3, max(counts) * 1.3)
    axes.set_xlabel("Parameters $N$")


def line_by_size(axes, table, values, **look):
    """A line of `values` over the sizes of their rows in `table`; rows of one size and as many tokens are a point at their mean, with a bar over all."""
    groups = values.groupby([table["n_params"], table["n_tokens"]])
    sizes, mean = [size for size, _ in groups.groups], groups.mean()
    if groups.size().max() == 1:
        axes.plot(sizes, mean, **look)
    else:
        axes.errorbar(sizes, mean, yerr=[mean - groups.min(), groups.max() - mean], capsize=3, **look)


def look(k):
    """(colour, marker) of the k-th line; they come back after as many as there are."""
    return LINE_COLOURS[k % len(LINE_COLOURS)], LINE_MARKERS[k % len(LINE_MARKERS)]


def dashes(k):
    """Dashes of the k-th line, where lines have no markers."""
    return LINE_DASHES[k % len(LINE_DASHES)]


def curves(table):
    """[(parameters, rows by tokens)] of each model of a table with `line`, `n_params` and `tokens`, by size."""
    return [(size, rows.sort_values("tokens")) for (size, _), rows in table.groupby(["n_params", "line"])]
