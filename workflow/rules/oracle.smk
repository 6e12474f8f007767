"""
Streams that the workflow draws from a checkpoint of its own, the oracle, and the truth about what is trained on them.

in   results/training/{run}/step{step}/...            the oracle
out  results/streams/{stream}/rows{rows}/tokens.bin   the first rows of the stream, uint16, with stream.json beside it
     results/{family}/{slug}/quantizers/{quantizer}/certificate/true_risk.json
                                                      the mean conditional risk that the certificate bounds, computed exactly

As with the streams of wheels, a longer stream is another folder, of which every shorter one is a prefix.
"""


rule generate:
    input:
        oracle=lambda w: PLAN.oracle_files(w.stream),
    output:
        tokens="results/streams/{stream}/rows{rows}/tokens.bin",
        stream="results/streams/{stream}/rows{rows}/stream.json",
        record="results/streams/{stream}/rows{rows}/run.json",
    log:
        "results/streams/{stream}/rows{rows}/generate.log",
    wildcard_constraints:
        stream=alternatives(PLAN.streams_of_kind("oracle")),
    priority: 2
    conda:
        "../../envs/scalebound.yaml"
    threads: 1
    params:
        settings=lambda w: PLAN.rows_settings(w.stream, w.rows),
        folder=lambda w: PLAN.oracle_folder(w.stream),
        code=digest("generate"),
    shell:
        "python -m scalebound generate --settings {params.settings:q} --oracle {params.folder:q} --rows {wildcards.rows:q}"
        " --out {output.tokens:q} --out-stream {output.stream:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule true_risk:
    input:
        oracle=lambda w: PLAN.oracle_files(PLAN.row(w.family, w.slug).stream),
        tokens=lambda w: PLAN.run_rows(PLAN.row(w.family, w.slug).repo, "tokens.bin"),
        stream=lambda w: PLAN.run_rows(PLAN.row(w.family, w.slug).repo, "stream.json"),
        model="results/{family}/{slug}/resolve/resolved.json",
        decoded="results/{family}/{slug}/quantizers/{quantizer}/decode/decoded.json",
        certificate="results/{family}/{slug}/quantizers/{quantizer}/certificate/certificate.json",
    output:
        risk="results/{family}/{slug}/quantizers/{quantizer}/certificate/true_risk.json",
        record="results/{family}/{slug}/quantizers/{quantizer}/certificate/true_risk.run.json",
    log:
        "results/{family}/{slug}/quantizers/{quantizer}/certificate/true_risk.log",
    conda:
        "../../envs/scalebound.yaml"
    threads: 1
    params:
        folder=lambda w: PLAN.oracle_folder(PLAN.row(w.family, w.slug).stream),
        code=digest("true-risk"),
    shell:
        "python -m scalebound true-risk --oracle {params.folder:q} --tokens {input.tokens:q} --stream {input.stream:q}"
        " --model {input.model:q} --decoded {input.decoded:q} --certificate {input.certificate:q}"
        " --out {output.risk:q} --record {output.record:q} 2>&1 | tee {log:q}"
