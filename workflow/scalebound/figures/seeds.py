"""Training loss, bits per parameter and gaps by size, with bars from the least to the largest over models that differ in their seed."""

from scalebound.artifacts.family_tables import SEEDS
from scalebound.figures import style

TABLE = SEEDS  # that it is drawn from

PANELS = (
    ("Training loss\n(nats per token)", "train_loss", style.BLACK, "o"),
    ("Coded bits per parameter", "coded_bits_per_param", style.GREEN, "D"),
    ("Share of the gap of\nthe paper's recipe", "gap_ratio", style.BLUE, "s"),
)


def draw(table):
    """`table` is seeds.csv: one row a size and quantity. A quantity that no size has is a panel that is left empty."""
    with style.figure(height=2.7, width=7.6, ncols=len(PANELS)) as (drawn, panels):
        for axes, (label, quantity, colour, marker) in zip(panels, PANELS):
            rows = table[(table["quantity"] == quantity) & table["mean"].notna()]
            ends = [rows["mean"] - rows["least"], rows["largest"] - rows["mean"]]
            axes.errorbar(rows["n_params"], rows["mean"], yerr=ends, color=colour, marker=marker, markersize=4, capsize=4)
            style.parameter_axis(axes, table["n_params"].unique())
            axes.set_ylabel(label)
        counts = sorted(table["models"].unique())
        drawn.suptitle(f"bars: least to largest of {' or '.join(map(str, counts))} models of a size", fontsize=8)
        return drawn
