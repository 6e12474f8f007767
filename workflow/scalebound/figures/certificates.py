"""The way from the paper's recipe to the certificate, step by step, as gaps above the training loss for every size."""

import numpy as np

from scalebound.artifacts.family_tables import CERTIFICATES
from scalebound.counts import short_count
from scalebound.figures import style

TABLE = CERTIFICATES  # that it is drawn from

STEPS = (
    ("paper_recipe", "the paper's recipe\n(estimate)"),
    ("real_code_length", "real code\nlength"),
    ("geometric", "geometric-mean\nbound (G)"),
    ("rate_chosen", "rate chosen,\nentropy-coded"),
    ("tuned", "codes\ntuned"),
    ("estimate", "draw of the\ncertificate"),
    ("certificate", "certificate"),
)


def draw(table):
    """`table` is certificates.csv: one row a checkpoint."""
    table = table.sort_values("n_params")
    # a step that no checkpoint has is no place; one that some lack is a gap in their lines
    steps = [step for step in STEPS if table[step[0]].notna().any()]
    places = np.arange(len(steps))
    with style.figure(height=3.6, width=6.8) as (drawn, axes):
        # of models that differ in their seed alone, the mean
        for k, (_, row) in enumerate(table.groupby(["n_params", "n_tokens"], as_index=False).mean(numeric_only=True).iterrows()):
            gaps = [row[column] - row["train_loss"] for column, _ in steps]
            label = f"{short_count(row['n_params'])} parameters" + (f", gap x {row['gap_ratio']:.2f}" if np.isfinite(row["gap_ratio"]) else "")
            colour, marker = style.look(k)
            axes.plot(places, gaps, color=colour, marker=marker, label=label)
            if np.isfinite(row["true_risk"]):
                axes.axhline(row["true_risk"] - row["train_loss"], color=colour, linestyle=":")
        axes.set_xticks(places, [label for _, label in steps])
        axes.set_xlim(-0.3, len(steps) - 0.7)
        axes.set_ylim(bottom=0)
        axes.set_ylabel("Nats per token above the training loss")
        axes.legend(loc="lower left")
        return drawn
