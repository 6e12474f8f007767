"""Spectral density of the loss Hessian by size, and the number of eigenvalues beyond a value.

The density is that of Ghorbani, Krishnan, Xiao (ICML 2019): each node a Gaussian, averaged over probes; on an axis that is
logarithmic on both sides of zero, so the Gaussians have one width there and the density is per unit of that axis.
"""

import numpy as np

from scalebound.counts import short_count
from scalebound.figures import style

COLOURS = (style.ORANGE, style.SKY, style.GREEN, style.VERMILION, style.BLUE, style.BLACK)
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
LINEAR = 1e-2  # nats per squared unit of weight: within this, the axis is linear
WIDTH = 0.12  # of a node, in decades
POINTS = 600


def draw(table):
    """`table` is hessian_nodes.csv; skipped checkpoints are named and not drawn."""
    done = table[table["status"] == "computed"]
    with style.figure(height=3.3, width=7.0, ncols=2) as (drawn, (left, right)):
        for k, ((size, _), rows) in enumerate(done.groupby(["n_params", "checkpoint"])):
            look = {"color": COLOURS[k % len(COLOURS)], "linestyle": DASHES[k % len(DASHES)]}
            places, density = smoothed(rows)
            left.plot(places, density, label=short_count(size), **look)
            _beyond(right, rows, size, look)
        _axes(left, right, done)
        skipped = table.loc[table["status"] != "computed", "checkpoint"].unique()
        if len(skipped):
            drawn.supxlabel(f"not computed (studies.hessian.max_parameters): {', '.join(skipped)}", fontsize=7)
        if len(done):
            drawn.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=6)
        return drawn


def stretched(values):
    """Signed decades: linear within LINEAR of zero, logarithmic beyond."""
    return np.arcsinh(np.asarray(values, dtype=float) / LINEAR) / np.log(10)


def smoothed(rows):
    """(eigenvalues, density per decade) of one checkpoint's nodes; the density's integral over `stretched` is one."""
    centres, weights = stretched(rows["node"]), rows["weight"].to_numpy() / rows["probe"].nunique()
    places = np.linspace(centres.min() - 5 * WIDTH, centres.max() + 5 * WIDTH, POINTS)
    kernels = np.exp(-0.5 * ((places[:, None] - centres) / WIDTH) ** 2) / (WIDTH * np.sqrt(2 * np.pi))
    return LINEAR * np.sinh(places * np.log(10)), kernels @ weights


def _beyond(axes, rows, size, look):
    """Number of eigenvalues above a value, and thinner of those below its negative: N times the weight out there."""
    weights = rows["weight"].to_numpy() * size / rows["probe"].nunique()
    for sign, width in ((1, 1.5), (-1, 0.8)):
        values = sign * rows["node"].to_numpy()
        order = np.argsort(-values)
        kept = order[values[order] > 0]
        if len(kept):
            axes.step(values[kept], np.cumsum(weights[kept]), where="pre", linewidth=width, **look)


def _axes(left, right, done):
    left.set_xscale("function", functions=(stretched, lambda u: LINEAR * np.sinh(np.asarray(u) * np.log(10))))
    left.set_yscale("log")
    left.set_ylim(1e-7, 10)
    left.set_xlabel("Eigenvalue of the loss Hessian")
    left.set_ylabel("Density per decade (estimate)")
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_xlabel("Value $\\lambda$")
    right.set_ylabel("Eigenvalues beyond $\\lambda$ (estimate)")
    if len(done):
        far = 10.0 ** np.arange(-1, np.ceil(np.log10(done["node"].abs().max())) + 1)
        ticks = [*(-far[::-1]), 0, *far]
        low, high = done["node"].min() * 3 - LINEAR, done["node"].max() * 3 + LINEAR
        shown = [t for t in ticks if low <= t <= high]
        left.set_xticks(shown, [f"{t:g}" for t in shown])
        left.set_xlim(low, high)
        right.set_xlim(LINEAR / 10, high)
        right.set_ylim(bottom=0.1)
