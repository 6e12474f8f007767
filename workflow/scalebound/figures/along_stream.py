"""The online bound along the stream: what it consists of by parts of the stream, and its gap over the positions from a share of it on."""

import matplotlib as mpl

from scalebound.artifacts.family_tables import ALONG_STREAM
from scalebound.counts import short_count
from scalebound.figures import style

TABLE = ALONG_STREAM  # that it is drawn from

PANELS = (
    ("reference_loss", "loss of the references, by parts"),
    ("difference_second_moment", "mean square of the difference, $v$, by parts"),
    ("mean_largest_difference", "largest difference, $m$, by parts"),
)


def draw(table):
    """`table` is along_stream.csv."""
    with style.figure(height=5.0, width=7.0, nrows=2, ncols=2, sharex=True) as (drawn, panels):
        for k, (_, rows) in enumerate(table.groupby(["n_params", "checkpoint"])):
            colour, marker = style.look(k)
            rows = rows.sort_values("from")
            for axes, (column, _) in zip(panels.flat, PANELS):
                axes.plot(rows["from"], rows[column], color=colour, marker=marker, label=f"{short_count(rows['n_params'].iloc[0])} parameters")
            for column, line in (("online_bound", "-"), ("geometric_bound", ":"), ("reference_bound", "--")):
                panels[1][1].plot(rows["from"], rows[column] - rows["train_loss"], color=colour, linestyle=line)
        for axes, (_, title) in zip(panels.flat, PANELS):
            axes.set_title(title)
        panels[1][1].set_title("gaps over all positions from there on")
        for line, label in (("-", "online bound (D)"), (":", "without references (G)"), ("--", "online-to-batch")):
            panels[1][1].plot([], [], color="#555555", linestyle=line, label=label)
        panels[1][0].legend(loc="lower left", ncols=2)  # whose curves leave the lower half free
        panels[1][1].legend()
        for axes in (panels[0][0], *panels[1]):
            axes.set_ylim(bottom=0)
        for axes in panels[1]:
            axes.set_xlabel("Share of the stream, where a part begins")
        for axes in panels[:, 0]:
            axes.set_ylabel("Nats per token")
        panels[0][1].set_yscale("log")
        panels[0][1].yaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
        panels[0][1].yaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
        panels[0][1].yaxis.set_minor_formatter(mpl.ticker.NullFormatter())
        return drawn
