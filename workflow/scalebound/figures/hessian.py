"""Spectral density of the loss Hessian by size, and the number of eigenvalues beyond a value.

The density is that of Ghorbani, Krishnan, Xiao (ICML 2019): each node a Gaussian, averaged over probes; on an axis that is
logarithmic on both sides of zero, so the Gaussians have one width there and the density is per unit of that axis. It is
linear where k nodes over a range resolve nothing finer, and the Gaussians there are as wide as the nodes are apart.
"""

import numpy as np

from scalebound.artifacts.family_tables import HESSIAN_NODES
from scalebound.counts import short_count
from scalebound.figures import style

TABLE = HESSIAN_NODES  # that it is drawn from

WIDTH = 0.2  # of a node, in decades
POINTS = 600


def draw(table):
    """`table` is hessian_nodes.csv; skipped checkpoints are named and not drawn."""
    done = table[table["status"] == "computed"]
    linear = resolution(done)
    with style.figure(height=3.3, width=7.0, ncols=2) as (drawn, (left, right)):
        for k, ((size, _), rows) in enumerate(done.groupby(["n_params", "checkpoint"])):
            look = {"color": style.look(k)[0], "linestyle": style.dashes(k)}
            places, density = smoothed(rows, linear)
            left.plot(places, density, label=short_count(size), **look)
            _beyond(right, rows, size, look)
        _axes(left, right, done, linear)
        skipped = table.loc[table["status"] != "computed", "checkpoint"].unique()
        if len(skipped):
            drawn.supxlabel(f"not computed (studies.hessian.max_parameters): {', '.join(skipped)}", fontsize=7)
        if len(done):
            drawn.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=6)
        return drawn


def resolution(done):
    """How far apart the nodes are in the middle of the widest spectrum: pi / (2 k) of the range, as the zeros of polynomials are."""
    apart = [np.pi / 2 * np.ptp(rows["node"]) / len(rows) for _, rows in done.groupby(["checkpoint", "probe"])]
    return max([*apart, 1e-9])


def stretched(values, linear):
    """Signed decades: linear within `linear` of zero, logarithmic beyond."""
    return np.arcsinh(np.asarray(values, dtype=float) / linear) / np.log(10)


def smoothed(rows, linear):
    """(eigenvalues, density per decade) of one checkpoint's nodes; the density's integral over `stretched` is one."""
    centres, weights = stretched(rows["node"], linear), rows["weight"].to_numpy() / rows["probe"].nunique()
    places = np.linspace(centres.min() - 5 * WIDTH, centres.max() + 5 * WIDTH, POINTS)
    kernels = np.exp(-0.5 * ((places[:, None] - centres) / WIDTH) ** 2) / (WIDTH * np.sqrt(2 * np.pi))
    return linear * np.sinh(places * np.log(10)), kernels @ weights


def _beyond(axes, rows, size, look):
    """Number of eigenvalues above a value, and thinner of those below its negative: N times the weight out there."""
    weights = rows["weight"].to_numpy() * size / rows["probe"].nunique()
    for sign, width in ((1, 1.5), (-1, 0.8)):
        values = sign * rows["node"].to_numpy()
        order = np.argsort(-values)
        kept = order[values[order] > 0]
        if len(kept):
            axes.step(values[kept], np.cumsum(weights[kept]), where="pre", linewidth=width, **look)


def _axes(left, right, done, linear):
    left.set_xscale("function", functions=(lambda x: stretched(x, linear), lambda u: linear * np.sinh(np.asarray(u) * np.log(10))))
    for axes in (left, right):
        axes.set_yscale("log")
    right.set_xscale("log")
    left.set_ylim(1e-7, 10)
    left.set_xlabel("Eigenvalue of the loss Hessian")
    left.set_ylabel("Density per decade (estimate)")
    right.set_xlabel("Value $\\lambda$")
    right.set_ylabel("Eigenvalues beyond $\\lambda$ (estimate)")
    if len(done):
        low, high = done["node"].min() * 3 - linear, done["node"].max() * 3 + linear
        far = 10.0 ** np.arange(np.ceil(np.log10(linear)), np.ceil(np.log10(max(-low, high))) + 1)
        shown = [tick for tick in (*(-far[::-1]), 0, *far) if low <= tick <= high]
        left.set_xticks(shown, [f"{tick:g}" for tick in shown])
        left.set_xlim(low, high)
        right.set_xlim(linear / 10, high)
        right.set_ylim(bottom=0.1)
