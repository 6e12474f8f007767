"""
The paper's bound with one choice changed at a time: |K|, the reference Y, the smoothing weight, the failure probability, m.

in   the decoded model of the paper's quantizer, its scores and those of the unquantized model, bounds.json
out  results/{family}/{slug}/ablations/references.parquet   window, position, under_model, under_smoothed (nats)
     results/{family}/{slug}/ablations/ablations.json       every variant: an estimate
     results/{family}/ablations.csv
"""

_PAPER = f"results/{{family}}/{{slug}}/quantizers/{PLAN.config.paper_quantizer}"


rule references:
    input:
        model=f"{_PAPER}/decode/decoded.json",
        windows="results/{family}/{slug}/sample/score/windows.parquet",
        bounds=f"{_PAPER}/bound/bounds.json",
    output:
        references="results/{family}/{slug}/ablations/references.parquet",
        record="results/{family}/{slug}/ablations/references.run.json",
    log:
        "results/{family}/{slug}/ablations/references.log",
    conda:
        "../../envs/scalebound.yaml"
    threads: 1
    resources:
        gpu=PLAN.gpus_per_job,
    params:
        settings=PLAN.scoring_settings(),
        code=digest("references"),
    shell:
        "python -m scalebound references --settings {params.settings:q} --model {input.model:q} --windows {input.windows:q}"
        " --bounds {input.bounds:q} --threads {threads} --out {output.references:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule ablate:
    input:
        bounds=f"{_PAPER}/bound/bounds.json",
        scores="results/{family}/{slug}/score/scores.parquet",
        quantized=f"{_PAPER}/score/scores.parquet",
        references="results/{family}/{slug}/ablations/references.parquet",
    output:
        ablations="results/{family}/{slug}/ablations/ablations.json",
        record="results/{family}/{slug}/ablations/run.json",
    log:
        "results/{family}/{slug}/ablations/ablate.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        settings=PLAN.study_settings("ablations"),
        bound=PLAN.bound_settings(),
        code=digest("ablate"),
    shell:
        "python -m scalebound ablate --settings {params.settings:q} --bound {params.bound:q} --bounds {input.bounds:q}"
        " --scores {input.scores:q} --quantized-scores {input.quantized:q} --references {input.references:q}"
        " --out {output.ablations:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule ablations_table:
    input:
        ablations=lambda w: [
            f"results/{w.family}/{row.slug}/ablations/ablations.json"
            for row in PLAN.rows_of(w.family)
        ],
    output:
        table="results/{family}/ablations.csv",
        identity="results/{family}/ablations.identity.json",
        record="results/{family}/ablations.run.json",
    log:
        "results/{family}/ablations.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        code=digest("ablations"),
    shell:
        "python -m scalebound ablations --ablations {input.ablations:q}"
        " --out {output.table:q} --out-identity {output.identity:q} --record {output.record:q} 2>&1 | tee {log:q}"
