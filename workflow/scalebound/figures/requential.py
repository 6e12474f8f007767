"""Students by requential coding beside coded models: bits for each parameter, and gaps of bounds above the training loss."""

from scalebound.artifacts.family_tables import REQUENTIAL
from scalebound.figures import style

TABLE = REQUENTIAL  # that it is drawn from

BITS = (
    ("formula_bits_per_param", "KL, logarithm, constant", style.BLUE, "s", "-"),
    ("divergence_bits_per_param", "KL alone", style.SKY, "v", "--"),
    ("coded_bits_per_param", "coded model, its bytes", style.GREEN, "D", "-"),
)
GAPS = (
    ("online_bound", "(D), KL, logarithm, constant", style.BLUE, "s", "-"),
    ("online_bound_divergence", "(D), KL alone", style.SKY, "v", "--"),
    ("student_loss", "loss of the student", style.BLACK, "o", ":"),
    ("coded_online_bound", "(D), coded model", style.GREEN, "D", "-"),
)


def draw(table):
    """`table` is requential.csv: one row a checkpoint and source."""
    table = table.sort_values("n_params")
    written, sent = table[table["source"] == "rows"], table[table["sent_bits_per_param"].notna()]
    shown = written if len(written) else table
    with style.figure(height=3.4, width=7.4, ncols=2) as (drawn, (bits, gaps)):
        for column, label, colour, marker, dashes in BITS:
            bits.plot(shown["n_params"], shown[column], color=colour, marker=marker, linestyle=dashes, label=label)
        if len(sent):
            bits.plot(sent["n_params"], sent["sent_bits_per_param"], color=style.VERMILION, marker="*", linestyle="", markersize=9, label="really sent")
        bits.set_ylabel("Bits per parameter")
        for column, label, colour, marker, dashes in GAPS:
            if shown[column].notna().any():
                gaps.plot(shown["n_params"], shown[column] - shown["train_loss"], color=colour, marker=marker, linestyle=dashes, label=label)
        gaps.set_ylabel("Nats per token above the training loss")
        for axes in (bits, gaps):
            style.parameter_axis(axes, shown["n_params"])
            axes.set_ylim(bottom=0)
            axes.legend(loc="best")
        return drawn
