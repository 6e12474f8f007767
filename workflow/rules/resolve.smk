"""
The identity of a checkpoint: from here on a trained, a local and a released checkpoint look the same.

in   the folder of the weights; for a released checkpoint the network (resolve_hub and fetch only)
out  results/{family}/{slug}/resolve/hub.json           released: commit, weight files and their sha256
     results/{family}/{slug}/fetch/fetched.json         released: the same files, verified in the hub's cache (HF_HOME)
     results/{family}/{slug}/resolve/resolved.json      place, sha256 of every file, parameters, row of the table
     results/{family}/{slug}/resolve/architecture.json  what a decoder may know before any data is seen

`snakemake paper_plan` prints, from hub.json alone, what the checkpoints of the configured families will take.
"""


rule resolve_hub:
    output:
        hub="results/{family}/{slug}/resolve/hub.json",
        record="results/{family}/{slug}/resolve/hub.run.json",
    log:
        "results/{family}/{slug}/resolve/hub.log",
    conda:
        "../../envs/scalebound.yaml"
    resources:
        hf=1,
    params:
        settings=lambda w: PLAN.row_settings(w.family, w.slug),
        hub=lambda w: PLAN.hub_settings(PLAN.row(w.family, w.slug).repo),
        code=digest("resolve-hub"),
    shell:
        "python -m scalebound resolve-hub --settings {params.settings:q} --hub {params.hub:q}"
        " --out {output.hub:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule fetch:
    input:
        hub="results/{family}/{slug}/resolve/hub.json",
    output:
        fetched="results/{family}/{slug}/fetch/fetched.json",
        record="results/{family}/{slug}/fetch/run.json",
    log:
        "results/{family}/{slug}/fetch/fetch.log",
    retries: 3
    conda:
        "../../envs/scalebound.yaml"
    resources:
        hf=1,
    params:
        hub=lambda w: PLAN.hub_settings(PLAN.row(w.family, w.slug).repo),
        code=digest("fetch"),
    shell:
        "python -m scalebound fetch --hub {params.hub:q} --located {input.hub:q}"
        " --out {output.fetched:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule resolve:
    input:
        weights=lambda w: list(PLAN.weights_inputs(w.family, w.slug).values()),
    output:
        resolved="results/{family}/{slug}/resolve/resolved.json",
        architecture="results/{family}/{slug}/resolve/architecture.json",
        record="results/{family}/{slug}/resolve/run.json",
    log:
        "results/{family}/{slug}/resolve/resolve.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        settings=lambda w: PLAN.row_settings(w.family, w.slug),
        place=lambda w: PLAN.weights_place(w.family, w.slug),
        code=digest("resolve"),
    shell:
        "python -m scalebound resolve --settings {params.settings:q} {params.place:q}"
        " --out {output.resolved:q} --out-architecture {output.architecture:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule paper_plan:
    input:
        hub=lambda w: PLAN.hub_files(),
    log:
        "results/paper-plan.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        configs=lambda w: [
            PLAN.resolved_config(family) for family in PLAN.config.families
        ],
    shell:
        'for config in {params.configs:q}; do python -m scalebound paper-plan --config "$config"; done 2>&1 | tee {log:q}'
