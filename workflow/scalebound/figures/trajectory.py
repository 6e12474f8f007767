"""Along training: training loss and the paper's bound against tokens per parameter, one colour a model, and what lies between them."""

import numpy as np
from matplotlib.lines import Line2D

from scalebound.artifacts.family_tables import TRAJECTORY
from scalebound.counts import short_count
from scalebound.figures import style

TABLE = TRAJECTORY  # that it is drawn from

MARKERS = "osDPXv"  # none is a triangle that points upwards, which says that a bound lies above the axis
TERMS = (
    ("term_parameters_per_token", "parameters per token, $C \\log V$", "--"),
    ("term_smoothing", "smoothing", "-."),
    ("term_loss_variation", "loss variation, $\\Sigma\\sqrt{C}$", ":"),
)
ROOM = 1.3  # height of the axis in units of log V: far above it a bound says nothing, however much


def draw(table):
    """`table` is trajectory.csv: one row for each kept step of each line."""
    lines = sorted(table.groupby("line", sort=False), key=lambda pair: (pair[1]["n_params"].iloc[0], pair[0]))
    trivial = float(np.log(table["vocab_size"]).max())
    with style.figure(height=5.8, width=6.4, nrows=2, sharex=True, height_ratios=(1.25, 1)) as (drawn, (losses, gaps)):
        for k, (_, line) in enumerate(lines):
            look = {"color": style.look(k)[0], "marker": MARKERS[k % len(MARKERS)], "markersize": 3.5}
            line = line.sort_values("n_tokens")
            _losses(losses, line, trivial, look)
            gaps.plot(line["tokens_per_param"], line["paper_bound"] - line["train_loss"], **look)
        _terms(gaps, lines[-1][1].sort_values("n_tokens"))
        _frame(losses, gaps, trivial)
        _legends(losses, gaps, lines)
        return drawn


def _losses(axes, line, trivial, look):
    """Loss and bound; what lies above the axis is marked at its upper end."""
    x, bound = line["tokens_per_param"], line["paper_bound"]
    shown = bound <= ROOM * trivial
    axes.plot(x, line["train_loss"], **look)
    axes.plot(x[shown], bound[shown], linestyle="--", markerfacecolor="white", **look)
    axes.plot(x[~shown], np.full((~shown).sum(), 0.985 * ROOM * trivial), linestyle="", markerfacecolor="none", **look | {"marker": "^", "markersize": 4.5})


def _terms(axes, line):
    """The terms of one line, the largest model's: between lines they hardly differ."""
    for column, _, dashes in TERMS:
        axes.plot(line["tokens_per_param"], line[column], color="#4D4D4D", linestyle=dashes, linewidth=1.1)


def _frame(losses, gaps, trivial):
    losses.axhline(trivial, color="#777777", linestyle=(0, (1, 3)))
    losses.set_ylim(0, ROOM * trivial)
    losses.set_ylabel("Nats per token")
    gaps.set_xscale("log")
    gaps.set_yscale("log")
    gaps.axhline(trivial, color="#777777", linestyle=(0, (1, 3)))
    gaps.set_xlabel("Tokens per parameter $D/N$")
    gaps.set_ylabel("Bound minus training loss\n(nats per token, estimate)")


def _legends(losses, gaps, lines):
    grey = {"color": "#444444", "markersize": 3.5}
    kinds = [
        Line2D([], [], marker="o", label="training loss", **grey),
        Line2D([], [], marker="o", linestyle="--", markerfacecolor="white", label="the paper's bound (estimate)", **grey),
        Line2D([], [], marker="^", linestyle="", markerfacecolor="none", label="the bound, above the axis", **grey),
        Line2D([], [], color="#777777", linestyle=(0, (1, 3)), label="uniform prediction, $\\log V$"),
    ]
    named = [
        Line2D([], [], color=style.look(k)[0], marker=MARKERS[k % len(MARKERS)], markersize=3.5, label=f"$N$ = {_label(line, lines)}")
        for k, (_, line) in enumerate(lines)
    ]
    terms = [Line2D([], [], color="#4D4D4D", linestyle=dashes, linewidth=1.1, label=f"of {_label(lines[-1][1], lines)}: {label}") for _, label, dashes in TERMS]
    losses.legend(handles=[*kinds, *named], loc="lower left", ncols=2)
    gaps.legend(handles=terms, loc="upper right")


def _label(line, lines):
    """The size, and the name where two lines have the same size."""
    size, sizes = line["n_params"].iloc[0], [other["n_params"].iloc[0] for _, other in lines]
    return short_count(size) if sizes.count(size) == 1 else f"{short_count(size)}, {line['line'].iloc[0].rsplit('/', 1)[-1]}"
