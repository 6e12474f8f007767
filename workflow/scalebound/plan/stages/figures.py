"""Figures of a family, as PNG for screens and PDF for papers: results/{family}/figures/{figure}.png|pdf, each from one table."""

from scalebound.plan import studies
from scalebound.plan.rule import FAMILY, SHORT, Rule, alternatives

FIGURE_FORMATS = ("png", "pdf")
# the table of the family that each figure is drawn from; those of studies are named in their own files
FIGURES = {
    "bounds_by_size": "bounds.csv",
    "terms": "bounds.csv",
    "loss_variation": "bounds.csv",
    "rates": "bounds.csv",
    "comparison": "comparison.csv",
    "certificates": "certificates.csv",
    "gaps": "certificates.csv",
    "oracle": "certificates.csv",
}


def table_of_each():
    """{figure: table}, those of all studies among them."""
    return FIGURES | {figure: table for study in studies.STUDIES.values() for figure, table in study.figures.items()}


def rules(plan):
    tables = table_of_each()
    return [
        Rule(
            "figures",
            "figures",
            inputs={"table": lambda w: f"results/{w.family}/{tables[w.figure]}"},
            outputs={form: f"{FAMILY}/figures/{{figure}}.{form}" for form in FIGURE_FORMATS},
            record=f"{FAMILY}/figures/{{figure}}.run.json",
            settings=lambda w: {"figure": w.figure, "quantizer": plan.config.paper_quantizer},
            chosen=lambda w: w.figure,
            constraints={"figure": alternatives(tables)},
            report={"png": ("figures", "{figure}")},
            group=SHORT,
        )
    ]
