"""
What can be asked for by name beside the run itself: studies, the plan of a run on released checkpoints, the audit, a crate.
None of the last five has output files for snakemake, so each runs whenever it is asked for.

`snakemake trajectory`   a study: its tables and figures for every family of the configuration
`snakemake paper_plan`   prints, from results/{family}/{slug}/resolve/hub.json alone, what released checkpoints will take
`snakemake why`          one line for each rule whose jobs would run again: code, settings, inputs, or never made
`snakemake audit`        results/manifest.tsv, results/audit.html: every artifact, and what leads from each number to it
`snakemake crate`        results/ro-crate-metadata.json: the results as an RO-Crate, with a copy of the workflow in results/crate/
`snakemake release`      results/scalebound-{families}.zip: the run as one archive to cite, which `scalebound verify` takes
"""

for study in STUDIES:

    rule:
        name:
            study
        input:
            PLAN.study_targets(study),


rule paper_plan:
    input:
        PLAN.hub_files,
    log:
        "results/paper-plan.log",
    localrule: True
    conda:
        "../../envs/scalebound.yaml"
    resources:
        hf=1,
    params:
        configs=[PLAN.resolved_config(family) for family in PLAN.config.families],
    shell:
        'for config in {params.configs:q}; do python -m scalebound paper-plan --config "$config"; done 2>&1 | tee {log:q}'


rule why:
    log:
        "results/why.log",
    localrule: True
    conda:
        "../../envs/scalebound.yaml"
    params:
        config=PLAN.config.model_dump_json(),
    shell:
        "python -m scalebound why --config {params.config:q} 2>&1 | tee {log:q}"


rule audit:
    input:
        PLAN.targets(),
    log:
        "results/audit.log",
    conda:
        "../../envs/scalebound.yaml"
    shell:
        "python -m scalebound audit results --page results/audit.html 2>&1 | tee {log:q}"


rule crate:
    input:
        PLAN.targets(),
    log:
        "results/crate/crate.log",
    conda:
        "../../envs/scalebound.yaml"
    shell:
        "python -m scalebound crate --results results --out results/crate 2>&1 | tee {log:q}"


rule release:
    input:
        PLAN.targets(),
    log:
        "results/release.log",
    conda:
        "../../envs/scalebound.yaml"
    shell:
        "python -m scalebound release results 2>&1 | tee {log:q}"
