"""Loss variation Sigma against the number of parameters, with a power law plus constant."""

import numpy as np
from scipy.optimize import least_squares

from scalebound.counts import short_count
from scalebound.figures import style

PARAMETERS = 3


def fit(sizes, sigmas):
    """(constant, factor, exponent) of constant + factor * (N / geometric mean of N)^-exponent, by least squares.

    None with fewer points than the law has parameters plus one: a curve through all points would say nothing.
    """
    sizes, sigmas = np.asarray(sizes, dtype=float), np.asarray(sigmas, dtype=float)
    if len(np.unique(sizes)) <= PARAMETERS:
        return None
    scaled = sizes / np.exp(np.log(sizes).mean())
    starts = [(sigmas[-1], sigmas[0] - sigmas[-1], e) for e in (0.25, 0.5, 1.0)]
    bounds = ([0, -np.inf, 0.02], [np.inf, np.inf, 3])
    runs = [least_squares(lambda p: p[0] + p[1] * scaled ** -p[2] - sigmas, np.clip(s, [0, -np.inf, 0.02], [np.inf, np.inf, 3]), bounds=bounds) for s in starts]
    return tuple(min(runs, key=lambda run: run.cost).x)


def draw(table):
    """`table` holds the rows of one quantizer."""
    table = table.sort_values("n_params")
    sizes = table["n_params"].to_numpy(dtype=float)
    with style.figure() as (drawn, axes):
        axes.plot(sizes, table["sigma"], color=style.BLUE, marker="o", linestyle="none", label="measured (estimate)")
        law = fit(sizes, table["sigma"])
        if law is None:
            axes.set_title(f"no fit: {len(np.unique(sizes))} sizes for a law with {PARAMETERS} parameters")
        else:
            dense, middle = np.geomspace(sizes.min(), sizes.max(), 200), np.exp(np.log(sizes).mean())
            curve = law[0] + law[1] * (dense / middle) ** -law[2]
            text = f"${law[0]:.2f} {'+' if law[1] >= 0 else '-'} {abs(law[1]):.2f}\\,(N/\\mathrm{{{short_count(middle)}}})^{{-{law[2]:.2f}}}$"
            axes.plot(dense, curve, color=style.BLACK, linestyle="--", label=f"least squares: {text}")
        style.parameter_axis(axes, table["n_params"])
        axes.set_ylabel("Loss variation $\\Sigma$ (nats per token)")
        low, high = table["sigma"].min(), table["sigma"].max()
        axes.set_ylim(low - 0.35 * (high - low) - 0.02, high + 0.35 * (high - low) + 0.02)
        axes.legend(loc="best")
        return drawn
