"""What is about a family as a whole.

results/{family}/bounds.csv       one row for each checkpoint and quantizer
results/{family}/comparison.csv   beside published values, where there are any
results/{family}/config.json      configuration and rows, defaults filled in
"""

from scalebound.configuration.checkpoints import rows_digest
from scalebound.plan.rule import FAMILY, SHORT, Rule
from scalebound.plan.stages.quantizers import BOUNDS

TABLE = f"{FAMILY}/bounds.csv"


def rules(plan):
    return [
        table("table", "bounds.csv", name="table", inputs={"bounds": lambda w: bounds_of(plan, w.family)}, report=("table", "table of bounds")),
        table(
            "compare",
            "comparison.csv",
            name="compare",
            inputs={"table": TABLE, "published": lambda w: plan.config.published[w.family]},
            settings=lambda w: {"quantizer": plan.config.paper_quantizer},
            report=("comparison", "published values and ours"),
        ),
        Rule(
            "resolved_config",
            "resolved-config",
            outputs={"out": f"{FAMILY}/config.json"},
            record=f"{FAMILY}/config.run.json",
            # the rows of a family can be more than one word of a command line holds: it reads them from their table again
            options=lambda w: {"config": plan.resolved_config(w.family), "rows_sha256": rows_digest(plan.rows_of(w.family))},
        ),
    ]


def table(stage, file, inputs, settings=None, name=None, report=None, also=()):
    """The rule of a table of a family, with its identity in a file beside it; `also` are {option: other tables of the same job}."""
    files = {"out": file} | dict(also)
    return Rule(
        name or f"{stage.replace('-', '_')}_table",
        stage,
        inputs=inputs,
        outputs={option: f"{FAMILY}/{file}" for option, file in files.items()},
        beside={f"{option}_identity": f"{FAMILY}/{file.removesuffix('.csv')}.identity.json" for option, file in files.items()},
        record=f"{FAMILY}/{file.removesuffix('.csv')}.run.json",
        settings=settings,
        vouches={f"{option}_identity": (option,) for option in files},
        report={[*files][-1]: report} if report else {},
        group=SHORT,
    )


def bounds_of(plan, family):
    """Bounds of every checkpoint by every quantizer of the run."""
    return [BOUNDS.format(family=family, slug=row.slug, quantizer=quantizer) for row in plan.rows_of(family) for quantizer in plan.quantizers_of_row(row)]
