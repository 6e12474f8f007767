"""Information content along training: bits per parameter and bits per token, with what the fitted law says of them."""

import numpy as np

from scalebound.artifacts.family_tables import INFORMATION
from scalebound.counts import short_count
from scalebound.figures import style

TABLE = INFORMATION  # that it is drawn from

PANELS = (("n_params", "Bits per parameter"), ("tokens", "Bits per token"))


def draw(table):
    """`table` is information.csv: one row a place on a model's curve; places without information, or of the warm-up, are left out."""
    table = table[(table["information_nats"] > 0) & (table["tokens_per_param"] >= style.LEAST_TOKENS_PER_PARAM)]
    with style.figure(height=3.1, width=6.6, ncols=2) as (drawn, panels):
        for axes, (unit, label) in zip(panels, PANELS):
            for k, (size, line) in enumerate(style.curves(table)):
                colour, marker = style.look(k)
                bits = line["information_nats"] / np.log(2) / line[unit]
                axes.plot(line["tokens"], bits, color=colour, label=f"{short_count(size)} parameters")
                error = line["information_error"] / np.log(2) / line[unit]
                axes.errorbar(line["tokens"].iloc[-1:], bits.iloc[-1:], error.iloc[-1:], color=colour, marker=marker, capsize=2)
                axes.plot(line["tokens"], line["law_information_nats"] / np.log(2) / line[unit], color=colour, linestyle=":")
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel("Training tokens $D$")
            axes.set_ylabel(f"{label} (estimate)")
        handles, labels = panels[0].get_legend_handles_labels()
        if table["law_information_nats"].notna().any():
            handles += panels[0].plot([], [], color="#777777", linestyle=":")
            labels.append("from the fitted law")
        drawn.legend(handles, labels, loc="outside upper center", ncols=3)
        return drawn
