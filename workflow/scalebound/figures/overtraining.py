"""The bound off the compute-optimal frontier, under a law: against tokens per parameter, for two code lengths."""

import matplotlib as mpl
import numpy as np

from scalebound.artifacts.family_tables import OVERTRAINING
from scalebound.counts import short_count
from scalebound.figures import style

TABLE = OVERTRAINING  # that it is drawn from

TITLES = {"nominal": "nominal code: bits times parameters", "information": "information content as code"}
# names of models beside their marks would cover each other: a mark a model, numbered, and the key at the side
CHINCHILLA = 20


def draw(table):
    """`table` is overtraining.csv. Drawn is the second law where there is one of the family first: published constants suit published models."""
    law = shown_law(table)
    table = table[table["law"] == law]
    grid, models = table[table["model"].isna()], table[table["model"].notna()]
    with style.figure(height=3.9, width=7.4, ncols=2, sharey=True) as (drawn, panels):
        for axes, (code, title) in zip(panels, TITLES.items()):
            _draw_lines(axes, grid[grid["code"] == code])
            _draw_models(axes, models[models["code"] == code])
            axes.axvline(CHINCHILLA, color="#777777", linewidth=1, linestyle=":")
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(mpl.ticker.FixedLocator([1, 1.5, 2, 3, 4, 6, 10, 20]))
            axes.yaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
            axes.yaxis.set_minor_locator(mpl.ticker.NullLocator())
            axes.set_title(title)
            axes.set_xlabel("Training tokens per parameter, $D / N$")
        panels[0].set_ylabel("Nats per token (extrapolation)")
        _add_keys(drawn, panels[0], models[models["code"] == "nominal"], law)
        return drawn


def shown_law(table):
    """Published constants rather than the family's own, whose tokens and sizes are far from those of published models."""
    names = list(dict.fromkeys(table["law"]))
    return names[-1]


def _draw_lines(axes, grid):
    for k, (size, line) in enumerate(grid.groupby("n_params")):
        colour, _ = style.look(k)
        axes.plot(line["tokens_per_param"], line["bound"], color=colour, label=f"bound, $N$ = {short_count(size)}")
        axes.plot(line["tokens_per_param"], line["loss"], color=colour, linestyle="--", linewidth=1)


def _draw_models(axes, models):
    for number, (_, row) in enumerate(models.sort_values("tokens_per_param").iterrows(), start=1):
        axes.plot(row["tokens_per_param"], row["bound"], "o", color="white", markeredgecolor="#444444", markersize=9)
        axes.annotate(str(number), (row["tokens_per_param"], row["bound"]), ha="center", va="center", fontsize=6)


def _add_keys(drawn, axes, models, law):
    handles, labels = axes.get_legend_handles_labels()
    handles += axes.plot([], [], color="#777777", linestyle="--", linewidth=1)
    labels.append(f"loss by the law of {law}")
    drawn.legend(handles, labels, loc="outside upper center", ncols=3)
    names = [f"{number}  {row['model']}" for number, (_, row) in enumerate(models.sort_values("tokens_per_param").iterrows(), start=1)]
    columns = np.array_split(names, 3)
    drawn.supxlabel(
        "\n".join("      ".join(f"{part[k]:<22s}" for part in columns if k < len(part)) for k in range(len(columns[0]))), fontsize=7, family="monospace"
    )
