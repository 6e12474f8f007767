"""
Windows of the training stream. Each draw has a seed of its own; what is stored is what later stages use.

in   results/streams/{stream}/rows{rows}/tokens.bin, or the network for a stream of the hub (resolve_stream, fetch-windows)
out  results/streams/{stream}/resolved.json                     a stream that the workflow does not make: commit, files, rows
     results/{family}/{slug}/sample/{draw}/windows.parquet      window, row (id in the stream), tokens
"""


rule resolve_stream:
    output:
        listing="results/streams/{stream}/resolved.json",
        record="results/streams/{stream}/resolved.run.json",
    log:
        "results/streams/{stream}/resolved.log",
    conda:
        "../../envs/scalebound.yaml"
    resources:
        hf=lambda w: PLAN.hub_slots(w.stream),
    params:
        settings=lambda w: PLAN.stream_settings(w.stream),
        hub=PLAN.stream_hub_settings(),
        code=digest("resolve-stream"),
    shell:
        "python -m scalebound resolve-stream --settings {params.settings:q} --hub {params.hub:q}"
        " --out {output.listing:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule sample:
    input:
        stream=lambda w: list(PLAN.draw_inputs(w.family, w.slug).values()),
    output:
        windows="results/{family}/{slug}/sample/{draw}/windows.parquet",
        record="results/{family}/{slug}/sample/{draw}/run.json",
    log:
        "results/{family}/{slug}/sample/{draw}/sample.log",
    conda:
        "../../envs/scalebound.yaml"
    resources:
        hf=lambda w: PLAN.hub_slots(PLAN.row(w.family, w.slug).stream),
    params:
        command=lambda w: PLAN.draw_command(w.family, w.slug),
        settings=lambda w: PLAN.draw_settings(w.draw),
        tokens_seen=lambda w: PLAN.row(w.family, w.slug).tokens_seen,
        code=lambda w: digest(PLAN.draw_stage(w.family, w.slug)),
    shell:
        "python -m scalebound {params.command:q} --settings {params.settings:q} --stream {input.stream[0]:q}"
        " --tokens-seen {params.tokens_seen:q} --out {output.windows:q} --record {output.record:q} 2>&1 | tee {log:q}"
