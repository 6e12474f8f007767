"""Gap of the direct bound above the training loss against the real bits per parameter: one panel a size."""

from scalebound.artifacts.family_tables import BOUNDS
from scalebound.counts import short_count
from scalebound.figures import style

TABLE = BOUNDS  # that it is drawn from

LOOKS = {"gptq": (style.BLUE, "o", "-"), "rtn": (style.ORANGE, "^", "--"), "incoherent": (style.BLACK, "x", (0, (5, 1, 1, 1, 1, 1)))}
OTHER_LOOKS = ((style.GREEN, "s", "-."), (style.VERMILION, "D", ":"), (style.SKY, "v", (0, (6, 2))))


def draw(table):
    """`table` holds all rows of a family; quantizers of one method, named method-bits, form a line."""
    method = table["quantizer"].str.replace(r"-[0-9]+$", "", regex=True)
    table = table.assign(method=method, gap=table["freedman_bound_coded"] - table["train_loss"])
    sizes = sorted(table["n_params"].unique())
    others = [method for method in sorted(table["method"].unique()) if method not in LOOKS]
    looks = LOOKS | {method: OTHER_LOOKS[k % len(OTHER_LOOKS)] for k, method in enumerate(others)}
    with style.figure(height=2.9, width=max(style.WIDTH, 1.9 * len(sizes)), ncols=len(sizes), sharey=True, squeeze=False) as (drawn, panels):
        for axes, size in zip(panels[0], sizes):
            for method, line in table[table["n_params"] == size].sort_values("coded_bits_per_param").groupby("method"):
                colour, marker, dashes = looks[method]
                axes.plot(line["coded_bits_per_param"], line["gap"], color=colour, marker=marker, linestyle=dashes, label=method)
            axes.set_title(f"$N$ = {short_count(size)}")
        panels[0][0].set_ylabel("Bound (F) minus training loss\n(nats per token, estimate)")
        drawn.supxlabel("Real code length (bits per parameter)", fontsize=9)
        drawn.legend(*panels[0][0].get_legend_handles_labels(), loc="outside upper right", ncols=4)
        return drawn
