"""Loss increase by rounding: against bits per parameter, one line a size, and against size, one line a quantizer."""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from scalebound.artifacts.family_tables import QUANTIZABILITY
from scalebound.counts import short_count
from scalebound.figures import style

TABLE = QUANTIZABILITY  # that it is drawn from

# nats: below this an increase is noise, and the axis is linear
NOISE = 1e-3


def draw(table):
    """`table` is quantizability.csv; a column of panels for each method."""
    methods, sizes = sorted(table["method"].unique()), sorted(table["n_params"].unique())
    options = {"ncols": len(methods), "nrows": 2, "sharey": True, "squeeze": False}
    with style.figure(height=5.4, width=max(style.WIDTH, 3.0 * len(methods) + 0.6), **options) as (drawn, panels):
        for (above, below), method in zip(panels.T, methods):
            rows = table[table["method"] == method]
            _against_bits(above, rows, sizes)
            _against_size(below, rows, sizes)
            above.set_title(method)
        for row in panels:
            row[0].set_ylabel("Loss increase (nats per token)")
        _increase_axis(panels.flatten(), table["increase"])
        drawn.legend(handles=_size_handles(sizes), loc="outside upper center", ncols=min(3 * len(methods), len(sizes) + 2))
        return drawn


def _against_bits(axes, rows, sizes):
    for k, size in enumerate(sizes):
        line = rows[rows["n_params"] == size].sort_values("nominal_bits_per_param")
        colour, marker = style.look(k)
        axes.plot(line["nominal_bits_per_param"], line["increase"], color=colour, marker=marker, markerfacecolor="none", linestyle=":", linewidth=1)
        axes.plot(line["coded_bits_per_param"], line["increase"], color=colour, marker=marker)
    axes.set_xlabel("Bits per parameter")
    axes.set_xlim(left=0)


def _against_size(axes, rows, sizes):
    for k, (bits, line) in enumerate(rows.groupby("nominal_bits_per_param")):
        line = line.sort_values("n_params")
        axes.plot(line["n_params"], line["increase"], color="#444444", marker=style.look(k)[1])
        axes.annotate(
            f"{bits:g} bits", (line["n_params"].iloc[-1], line["increase"].iloc[-1]), xytext=(6, 0), textcoords="offset points", va="center", fontsize=7
        )
    style.parameter_axis(axes, sizes)
    axes.set_xlim(min(sizes) / 1.3, max(sizes) * (max(sizes) / min(sizes)) ** 0.3 * 1.3)


def _increase_axis(panels, increases):
    """Logarithmic beyond what is noise, linear within it, so that increases of zero and below are shown as what they are."""
    lowest, highest = float(np.min(increases)), max(10 * NOISE, float(np.max(increases)))
    if lowest >= NOISE:
        panels[0].set_yscale("log")
        panels[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panels[0].yaxis.set_major_formatter(FormatStrFormatter("%g"))
        panels[0].yaxis.set_minor_formatter(NullFormatter())
        return
    panels[0].set_yscale("symlog", linthresh=NOISE, linscale=0.5)
    panels[0].set_ylim(min(-NOISE, 1.5 * lowest), 2 * highest)
    for axes in panels:
        axes.axhspan(-NOISE, NOISE, color="#EEEEEE", zorder=0)


def _size_handles(sizes):
    looks = [(*style.look(k), short_count(size)) for k, size in enumerate(sizes)]
    handles = [Line2D([], [], color=colour, marker=marker, label=text) for colour, marker, text in looks]
    real = Line2D([], [], color="#777777", marker="o", label="real bits")
    return [*handles, real, Line2D([], [], color="#777777", marker="o", markerfacecolor="none", linestyle=":", linewidth=1, label="nominal bits")]
