"""What published laws predict of the online bound's gap at a fixed number of bits per parameter, with published bounds beside it."""

from scalebound.artifacts.family_tables import ONLINE_LAW
from scalebound.figures import style

TABLE = ONLINE_LAW  # that it is drawn from


def draw(table):
    """`table` is online_law.csv; drawn are the compute-optimal places, those with a published bound, under the last of the laws."""
    table = table[(table["law"] == table["law"].iloc[-1]) & table["published_gap"].notna()]
    excesses = sorted(table["excess"].unique())
    with style.figure(height=3.6, width=7.2, ncols=len(excesses), sharey=True, squeeze=False) as (drawn, panels):
        for axes, excess in zip(panels[0], excesses):
            some = table[table["excess"] == excess]
            for k, (largest, rows) in enumerate(some.groupby("largest")):
                for start, line in zip(sorted(some["start"].unique()), ("-", "--", ":")):
                    part = rows[rows["start"] == start].sort_values("n_params")
                    label = f"$m$ = {largest:g}" + (f", from {start:g} on" if start else "")
                    axes.plot(part["n_params"], part["gap"], color=style.look(k)[0], linestyle=line, label=label)
            shown = some.drop_duplicates("model").sort_values("n_params")
            axes.plot(shown["n_params"], shown["published_gap"], color=style.BLACK, marker="s", linestyle="none", label="published bound")
            style.parameter_axis(axes, shown["n_params"])
            axes.set_title(f"references {excess:g} nats above the law" if excess else "references as the law has them")
            axes.set_ylim(bottom=0)
        panels[0][0].set_ylabel("Nats per token above the loss (prediction)")
        handles, labels = panels[0][0].get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside lower center", ncols=4)
        return drawn
