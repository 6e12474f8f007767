"""
Every job of the workflow. What it reads, writes and depends on is declared once, in scalebound/plan/stages/ and
scalebound/plan/studies/: a rule looks it up here, and the audit checks results against the same. A job is one call of the
package, whose words `snakemake --printshellcmds` shows.
"""


def products(declared):
    """The outputs of a rule, those marked that the HTML report shows."""
    shown = {
        name: report(
            declared.outputs[name],
            caption=f"../report/{caption}.rst",
            category="{family}",
            labels={"what": what, "as": "figure" if caption == "figures" else "table"},
        )
        for name, (caption, what) in declared.report.items()
    }
    return declared.products | shown


for declared in PLAN.rules:

    rule:
        name:
            declared.name
        input:
            unpack(declared.sources),
        output:
            **products(declared),
        log:
            declared.log,
        wildcard_constraints:
            **declared.constraints,
        priority: declared.priority
        retries: declared.retries
        conda:
            "../../envs/scalebound.yaml"
        threads: 1
        resources:
            gpu=PLAN.gpus_per_job if declared.gpu else 0,
            hf=declared.hub_slots,
        params:
            words=declared.words,
            code=declared.code,
        shell:
            declared.shell
