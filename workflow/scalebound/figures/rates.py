"""Gap of the direct bound above the training loss against the real bits per parameter, for every quantizer."""

from scalebound.counts import short_count
from scalebound.figures import style

MARKERS = {"gptq": ("o", "-"), "rtn": ("^", "--")}
COLOURS = (style.SKY, style.ORANGE, style.GREEN, style.VERMILION, style.BLUE, style.BLACK)


def draw(table):
    """`table` holds all rows of a family; quantizers of one method, named method-bits, form a line."""
    table = table.assign(method=table["quantizer"].str.split("-").str[0], gap=table["freedman_bound_coded"] - table["train_loss"])
    with style.figure(height=3.6) as (drawn, axes):
        for k, (_, rows) in enumerate(table.sort_values("n_params").groupby("n_params")):
            for j, (method, line) in enumerate(rows.sort_values("coded_bits_per_param").groupby("method")):
                marker, style_of_line = MARKERS.get(method, ("so^vD"[j % 5], ":"))
                label = f"{short_count(rows['n_params'].iloc[0])}, {method}"
                axes.plot(line["coded_bits_per_param"], line["gap"], color=COLOURS[k % len(COLOURS)], marker=marker, linestyle=style_of_line, label=label)
        axes.set_xlabel("Real code length (bits per parameter)")
        axes.set_ylabel("Bound (F) minus training loss\n(nats per token, estimate)")
        axes.set_ylim(bottom=0)
        drawn.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4)
        return drawn
