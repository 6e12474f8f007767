"""Gaps above the training loss by size: the paper's recipe, the certificate without and with references, and what reviewers would compare."""

from scalebound.artifacts.family_tables import CERTIFICATES
from scalebound.figures import style

TABLE = CERTIFICATES  # that it is drawn from

LINES = (
    ("paper_recipe", "the paper's recipe (estimate)", style.ORANGE, "^", "-."),
    ("without_references", "certificate without references", style.SKY, "D", "-"),
    ("certificate", "certificate", style.BLUE, "o", "-"),
    ("reference_bound", "online to batch: of the changing model", style.GREEN, "v", ":"),
    ("heldout_bound", "bound on the held-out loss", "#777777", "s", ":"),
)


def draw(table):
    """`table` is certificates.csv: one row a checkpoint. What no checkpoint has is no line."""
    table = table.sort_values("n_params")
    with style.figure(height=3.4, width=5.6) as (drawn, axes):
        for column, label, colour, marker, line in LINES:
            if table[column].notna().any():
                style.line_by_size(axes, table, table[column] - table["train_loss"], color=colour, marker=marker, linestyle=line, label=label)
        for column in table:
            if column.startswith("certificate_from_") and table[column].notna().any():
                part = column.removeprefix("certificate_")
                gap, label = table[column] - table[f"train_loss_{part}"], f"{part.replace('from_', 'from ').replace('_', '.')} of the stream on"
                style.line_by_size(axes, table, gap, color=style.BLUE, marker="o", markerfacecolor="white", linestyle="--", label=label)
        style.parameter_axis(axes, table["n_params"])
        axes.set_ylabel("Nats per token above the training loss")
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        return drawn
