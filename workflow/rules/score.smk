"""
Token losses and entropies, of the checkpoint and of every decoded model, on the same windows.

in   resolved.json or decoded.json (which name the weights), windows.parquet
out  results/{family}/{slug}/score/scores.parquet                          window, position, nll, entropy (nats)
     results/{family}/{slug}/quantizers/{quantizer}/score/scores.parquet   the same of the decoded model
"""


rule score:
    input:
        model="results/{family}/{slug}/resolve/resolved.json",
        windows="results/{family}/{slug}/sample/score/windows.parquet",
    output:
        scores="results/{family}/{slug}/score/scores.parquet",
        record="results/{family}/{slug}/score/run.json",
    log:
        "results/{family}/{slug}/score/score.log",
    conda:
        "../../envs/scalebound.yaml"
    threads: 1
    resources:
        gpu=PLAN.gpus_per_job,
    params:
        settings=PLAN.scoring_settings(),
        code=digest("score"),
    shell:
        "python -m scalebound score --settings {params.settings:q} --model {input.model:q} --windows {input.windows:q}"
        " --threads {threads} --out {output.scores:q} --record {output.record:q} 2>&1 | tee {log:q}"


use rule score as score_quantized with:
    input:
        model="results/{family}/{slug}/quantizers/{quantizer}/decode/decoded.json",
        windows="results/{family}/{slug}/sample/score/windows.parquet",
    output:
        scores="results/{family}/{slug}/quantizers/{quantizer}/score/scores.parquet",
        record="results/{family}/{slug}/quantizers/{quantizer}/score/run.json",
    log:
        "results/{family}/{slug}/quantizers/{quantizer}/score/score.log",
