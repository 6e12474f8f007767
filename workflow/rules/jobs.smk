"""
Every job of the workflow. What it reads, writes and depends on is declared once, in scalebound/plan/stages/ and
scalebound/plan/studies/: a rule looks it up here, and the audit checks results against the same. A job is one call of the
package, whose words `snakemake --printshellcmds` shows.
"""

ASKED = Requests(PLAN)


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


def resources(declared):
    """What a job asks for, on a cluster; a run on this machine looks at `gpu` and `hf` alone, of which the profile has totals."""
    asked = lambda wildcards, attempt: ASKED.of(declared, wildcards).at(attempt)
    return {
        "mem_mb": lambda wildcards, attempt: asked(wildcards, attempt).mem_mb,
        "runtime": lambda wildcards, attempt: asked(wildcards, attempt).minutes,
        "gpu": gpus(declared),
        "hf": declared.hub_slots,
    }


def gpus(declared):
    """The machine that runs snakemake need not have what a cluster's nodes have: there the configuration alone says whether GPUs are asked for."""
    if not declared.gpu:
        return 0
    return lambda wildcards: (
        PLAN.gpus_per_job if workflow.local_exec else ASKED.of(declared, wildcards).gpus
    )


def group(declared):
    """The group of a rule's jobs on a cluster; a dry run without one need not show it. Which of both it is, is known after the rules are."""
    if declared.group is None:
        return None
    return lambda wildcards: None if workflow.local_exec else declared.group


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
        # 0 would say never, whatever the profile says
        retries: declared.retries or None
        group:
            group(declared)
        localrule: declared.local
        conda:
            "../../envs/scalebound.yaml"
        threads: declared.cores
        resources:
            **resources(declared),
        params:
            words=declared.words,
            code=declared.code,
        shell:
            declared.shell
