"""
Windows of the training stream. Each draw has a seed of its own; what is stored is what later stages use.

in   results/streams/{stream}/rows{rows}/tokens.bin
out  results/{family}/{slug}/sample/{draw}/windows.parquet   window, row (id in the stream), tokens
"""


rule sample:
    input:
        tokens=lambda w: PLAN.checkpoint_rows(w.family, w.slug, "tokens.bin"),
        stream=lambda w: PLAN.checkpoint_rows(w.family, w.slug, "stream.json"),
    output:
        windows="results/{family}/{slug}/sample/{draw}/windows.parquet",
        record="results/{family}/{slug}/sample/{draw}/run.json",
    log:
        "results/{family}/{slug}/sample/{draw}/sample.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        settings=lambda w: PLAN.draw_settings(w.draw),
        tokens_seen=lambda w: PLAN.row(w.family, w.slug).tokens_seen,
        code=digest("sample"),
    shell:
        "python -m scalebound sample --settings {params.settings:q} --tokens {input.tokens:q} --stream {input.stream:q}"
        " --tokens-seen {params.tokens_seen:q} --out {output.windows:q} --record {output.record:q} 2>&1 | tee {log:q}"
