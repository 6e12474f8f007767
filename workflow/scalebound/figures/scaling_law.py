"""Loss curves of the family with Chinchilla's law as it was fitted to them."""

from scalebound.artifacts.family_tables import INFORMATION
from scalebound.counts import short_count
from scalebound.figures import style

TABLE = INFORMATION  # that it is drawn from


def draw(table):
    """`table` is information.csv: one row a place on a model's curve; the warm-up is left out."""
    table = table[table["tokens_per_param"] >= style.LEAST_TOKENS_PER_PARAM]
    with style.figure() as (drawn, axes):
        for k, (size, line) in enumerate(style.curves(table)):
            colour, marker = style.look(k)
            axes.plot(line["tokens"], line["loss"], color=colour, label=f"{short_count(size)} parameters")
            axes.plot(line["tokens"].iloc[-1:], line["loss"].iloc[-1:], color=colour, marker=marker)
            axes.plot(line["tokens"], line["law_loss"], color=colour, linestyle=":")
        if table["law_loss"].notna().any():
            axes.plot([], [], color="#777777", linestyle=":", label="law fitted to these curves")
        axes.set_xscale("log")
        axes.set_xlabel("Training tokens $D$")
        axes.set_ylabel("Training loss (nats per token)")
        drawn.legend(loc="outside upper center", ncols=3)
        return drawn
