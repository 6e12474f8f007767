"""
Bounds, one file for each checkpoint and quantizer, and one table for each family.

in   resolved.json, code.json, scores.parquet of the checkpoint and of the decoded model
out  results/{family}/{slug}/quantizers/{quantizer}/bound/bounds.json   every bound with its terms: an estimate
     results/{family}/bounds.csv                                        one row for each checkpoint and quantizer
     results/{family}/comparison.csv                                    beside published values, where there are any
     results/{family}/config.json                                       configuration and rows, defaults filled in
"""


rule bound:
    input:
        model="results/{family}/{slug}/resolve/resolved.json",
        code="results/{family}/{slug}/quantizers/{quantizer}/encode/code.json",
        scores="results/{family}/{slug}/score/scores.parquet",
        quantized="results/{family}/{slug}/quantizers/{quantizer}/score/scores.parquet",
    output:
        bounds="results/{family}/{slug}/quantizers/{quantizer}/bound/bounds.json",
        record="results/{family}/{slug}/quantizers/{quantizer}/bound/run.json",
    log:
        "results/{family}/{slug}/quantizers/{quantizer}/bound/bound.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        settings=PLAN.bound_settings(),
        code=digest("bound"),
    shell:
        "python -m scalebound bound --settings {params.settings:q} --quantizer {wildcards.quantizer:q}"
        " --model {input.model:q} --code {input.code:q} --scores {input.scores:q} --quantized-scores {input.quantized:q}"
        " --out {output.bounds:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule table:
    input:
        bounds=lambda w: PLAN.bounds_of(w.family),
    output:
        table=report(
            "results/{family}/bounds.csv",
            caption="../report/table.rst",
            category="{family}",
            labels={"what": "table of bounds"},
        ),
        identity="results/{family}/bounds.identity.json",
        record="results/{family}/bounds.run.json",
    log:
        "results/{family}/bounds.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        code=digest("table"),
    shell:
        "python -m scalebound table --bounds {input.bounds:q} --out {output.table:q}"
        " --out-identity {output.identity:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule compare:
    input:
        table="results/{family}/bounds.csv",
        published=lambda w: PLAN.published_of(w.family),
    output:
        table=report(
            "results/{family}/comparison.csv",
            caption="../report/comparison.rst",
            category="{family}",
            labels={"what": "published values and ours"},
        ),
        identity="results/{family}/comparison.identity.json",
        record="results/{family}/comparison.run.json",
    log:
        "results/{family}/comparison.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        quantizer=PLAN.config.paper_quantizer,
        code=digest("compare"),
    shell:
        "python -m scalebound compare --table {input.table:q} --published {input.published:q} --quantizer {params.quantizer:q}"
        " --out {output.table:q} --out-identity {output.identity:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule resolved_config:
    output:
        config="results/{family}/config.json",
        record="results/{family}/config.run.json",
    log:
        "results/{family}/config.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        config=lambda w: PLAN.resolved_config(w.family),
        code=digest("resolved-config"),
    shell:
        "python -m scalebound resolved-config --config {params.config:q} --out {output.config:q}"
        " --record {output.record:q} 2>&1 | tee {log:q}"
