"""Spectra of input second moments: eigenvalues over their mean, one panel for each kind of layer, and their ratio against size."""

import numpy as np
from matplotlib.lines import Line2D

from scalebound.artifacts.family_tables import SPECTRA
from scalebound.counts import short_count
from scalebound.figures import style

TABLE = SPECTRA  # that it is drawn from

FLOOR = 1e-7  # of the mean: below, fp32 sums of products are rounding
COLUMNS = 3


def draw(table):
    """`table` is spectra.csv; curves and ratios of one kind and size are geometric means over blocks."""
    kinds, sizes = list(dict.fromkeys(table["kind"])), sorted(table["n_params"].unique())
    rows = -(-(len(kinds) + 1) // COLUMNS)
    with style.figure(height=2.3 * rows + 0.5, width=7.2, nrows=rows, ncols=COLUMNS, squeeze=False) as (drawn, panels):
        panels = panels.flatten()
        for axes, kind in zip(panels, kinds):
            _curves(axes, table[table["kind"] == kind], sizes)
            axes.set_title(kind)
        limits = [axes.get_ylim() for axes in panels[: len(kinds)]]
        for axes in panels[: len(kinds)]:
            axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
        _ratios(panels[len(kinds)], table, kinds, sizes)
        for axes in panels[len(kinds) + 1 :]:
            axes.set_axis_off()
        handles = [Line2D([], [], color=style.look(k)[0], linestyle=style.dashes(k), label=short_count(n)) for k, n in enumerate(sizes)]
        drawn.legend(handles=handles, loc="outside upper center", ncols=6)
        return drawn


def _curves(axes, rows, sizes):
    columns = [name for name in rows if name.startswith("eigenvalue_")]
    ranks = [int(name.removeprefix("eigenvalue_")) / 100 for name in columns]
    for k, size in enumerate(sizes):
        of_size = rows.loc[rows["n_params"] == size, columns].dropna()
        if len(of_size):
            curve = np.exp(np.log(of_size.clip(lower=FLOOR)).mean())
            axes.plot(ranks, curve, color=style.look(k)[0], linestyle=style.dashes(k))
    axes.axhline(1, color="#999999", linewidth=0.8, zorder=0)
    axes.set_yscale("log")
    axes.set_xlabel("Rank / width")
    axes.set_ylabel("Eigenvalue / mean")


def _ratios(axes, table, kinds, sizes):
    for k, kind in enumerate(kinds):
        means = table[table["kind"] == kind].dropna(subset="ratio").groupby("n_params")["ratio"].agg(lambda r: np.exp(np.log(r).mean()))
        colour, marker = style.look(k)
        axes.plot(means.index, means, color=colour, marker=marker, label=kind, linewidth=1)
    style.parameter_axis(axes, sizes)
    axes.set_ylim(0, 1)
    axes.set_title("tr($H^{1/2}$)$^2$ / (width tr $H$)")
    axes.legend(loc="lower right", fontsize=6, labelspacing=0.2)
