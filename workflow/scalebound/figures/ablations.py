"""The gap of the paper's bound with one choice changed at a time: a panel for each choice, a line for each size."""

import numpy as np

from scalebound.artifacts.family_tables import ABLATIONS
from scalebound.counts import short_count
from scalebound.figures import style

TABLE = ABLATIONS  # that it is drawn from

CURVES = (
    ("s_points", "Values of $s$, $|K|$"),
    ("failure_probability", "Failure probability $\\delta$"),
    ("windows", "Windows sampled, $m$"),
)
CHOICES = (("reference", "Reference $Y$ (direct bound)"), ("alpha", "Smoothing weight (direct bound)"))


def draw(table):
    """`table` is ablations.csv: one row a checkpoint and variant."""
    with style.figure(height=5.4, width=7.4, nrows=2, ncols=3, sharey=True) as (drawn, panels):
        panels = panels.ravel()
        sizes = sorted(table["n_params"].unique())
        for axes, (name, label) in zip(panels, CURVES):
            _draw_curves(axes, table[table["ablation"] == name], sizes)
            axes.set_xscale("log")
            axes.set_xlabel(label)
        for axes, (name, label) in zip(panels[len(CURVES) :], CHOICES):
            _draw_choices(axes, table[table["ablation"] == name], sizes)
            axes.set_xlabel(label)
        panels[-1].set_axis_off()
        panels[-1].legend(*panels[0].get_legend_handles_labels(), loc="center")
        for axes in panels[::3]:
            axes.set_ylabel("Gap above the training loss\n(nats per token, estimate)")
        return drawn


def _draw_curves(axes, table, sizes):
    for k, size in enumerate(sizes):
        line = table[table["n_params"] == size].sort_values("x")
        colour, marker = style.look(k)
        axes.plot(line["x"], line["gap"], color=colour, marker=marker, markersize=4, label=f"{short_count(size)} parameters")
        drawn = line[line["low"].notna()]
        if len(drawn):
            shift = drawn["bound"] - drawn["gap"]
            axes.fill_between(drawn["x"], drawn["low"] - shift, drawn["high"] - shift, color=colour, alpha=0.15, linewidth=0)


def _draw_choices(axes, table, sizes):
    names = list(dict.fromkeys(table["setting"]))
    for k, size in enumerate(sizes):
        line = table[table["n_params"] == size].set_index("setting").loc[names]
        colour, marker = style.look(k)
        axes.plot(np.arange(len(names)), line["gap"], color=colour, marker=marker, markersize=4, linestyle="none")
    axes.set_xticks(np.arange(len(names)), names, rotation=25, ha="right", rotation_mode="anchor", fontsize=7)
    axes.set_xlim(-0.5, len(names) - 0.5)
