"""Loss variation Sigma against the number of parameters, with a power law plus constant, beside the published law."""

import numpy as np
from matplotlib.ticker import NullLocator
from scipy.optimize import least_squares

from scalebound.artifacts.family_tables import BOUNDS
from scalebound.counts import short_count
from scalebound.figures import style
from scalebound.laws.gap import PUBLISHED_SIGMA, PUBLISHED_SIGMA_RANGE, published_sigma

TABLE = BOUNDS  # that it is drawn from
ONE_QUANTIZER = True  # drawn from the rows of one

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
    """`table` holds the rows of one quantizer. The published law has a panel of its own where no size of ours lies in its range."""
    table = table.sort_values("n_params")
    low, high = PUBLISHED_SIGMA_RANGE
    beside = not table["n_params"].between(low, high).any()
    options = {"ncols": 2, "sharey": True, "width": 6.6} if beside else {"width": 5.2}
    with style.figure(squeeze=False, **options) as (drawn, panels):
        axes, other = panels[0][0], panels[0][-1]
        _measured(axes, table)
        text = f"published: ${PUBLISHED_SIGMA[0]} + {PUBLISHED_SIGMA[1]:g}\\,N^{{-{PUBLISHED_SIGMA[2]}}}$"
        dense = np.geomspace(low, high, 200)
        other.plot(dense, published_sigma(dense), color=style.VERMILION, linestyle="-.", label=text)
        if beside:
            axes.set_title("this run")
            other.set_title("Pythia on the Pile, $V$ = 50k")
            _published_axis(other)
        else:
            style.parameter_axis(axes, table["n_params"])
            axes.set_xlim(min(low, table["n_params"].min()) / 1.3, max(high, table["n_params"].max()) * 1.3)
        for panel in dict.fromkeys((axes, other)):
            panel.legend(loc="best")
        axes.set_ylabel("Loss variation $\\Sigma$ (nats per token)")
        _limits(axes, [*table["sigma"], *published_sigma(PUBLISHED_SIGMA_RANGE)])
        return drawn


def _measured(axes, table):
    """What was measured, and the fit, or why there is none."""
    sizes = table["n_params"].to_numpy(dtype=float)
    law = fit(sizes, table["sigma"])
    count = len(np.unique(sizes))
    missing = "" if law else f"\nno fit: {count} size{'s' if count > 1 else ''} for a law with {PARAMETERS} parameters"
    axes.plot(sizes, table["sigma"], color=style.BLUE, marker="o", linestyle="none", label=f"measured (estimate){missing}")
    if law:
        dense, middle = np.geomspace(sizes.min(), sizes.max(), 200), np.exp(np.log(sizes).mean())
        curve = law[0] + law[1] * (dense / middle) ** -law[2]
        text = f"${law[0]:.2f} {'+' if law[1] >= 0 else '-'} {abs(law[1]):.2g}\\,(N/\\mathrm{{{short_count(middle)}}})^{{-{law[2]:.2f}}}$"
        axes.plot(dense, curve, color=style.BLACK, linestyle="--", label=f"least squares: {text}")
    style.parameter_axis(axes, table["n_params"])


def _published_axis(axes):
    low, high = PUBLISHED_SIGMA_RANGE
    axes.set_xscale("log")
    axes.set_xticks([low, 10**9, high], [short_count(n) for n in (low, 10**9, high)])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(low / 1.3, high * 1.3)
    axes.set_xlabel("Parameters $N$")


def _limits(axes, values):
    low, high = min(values), max(values)
    axes.set_ylim(max(0, low - 0.15 * (high - low) - 0.02), high + 0.35 * (high - low) + 0.02)
