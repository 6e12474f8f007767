"""
Every parameter as integers, on fixed grids (quantize) or as the shortest code of a good hypothesis (compress).

in   resolved.json (which names the weights), architecture.json, the calibration draw; compress: the tuning draw too
out  results/{family}/{slug}/quantizers/{quantizer}/quantize/codes.safetensors    codes, scales, zeros
     results/{family}/{slug}/quantizers/{quantizer}/quantize/quantization.json    method, damping, error by parameter
     results/{family}/{slug}/quantizers/{quantizer}/encode/model.sbq, code.json   compress: the message, whose length was in its aim
"""


rule quantize:
    input:
        model="results/{family}/{slug}/resolve/resolved.json",
        architecture="results/{family}/{slug}/resolve/architecture.json",
        calibration="results/{family}/{slug}/sample/calibration/windows.parquet",
    output:
        codes="results/{family}/{slug}/quantizers/{quantizer}/quantize/codes.safetensors",
        report="results/{family}/{slug}/quantizers/{quantizer}/quantize/quantization.json",
        record="results/{family}/{slug}/quantizers/{quantizer}/quantize/run.json",
    log:
        "results/{family}/{slug}/quantizers/{quantizer}/quantize/quantize.log",
    wildcard_constraints:
        quantizer=alternatives(PLAN.grid_quantizers()),
    conda:
        "../../envs/scalebound.yaml"
    threads: 1
    resources:
        gpu=PLAN.gpus_per_job,
    params:
        settings=lambda w: PLAN.quantizer_settings(w.quantizer),
        device=PLAN.config.scoring.device,
        code=digest("quantize"),
    shell:
        "python -m scalebound quantize --settings {params.settings:q} --model {input.model:q}"
        " --architecture {input.architecture:q} --calibration {input.calibration:q} --device {params.device:q}"
        " --threads {threads} --out {output.codes:q} --out-report {output.report:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule compress:
    input:
        model="results/{family}/{slug}/resolve/resolved.json",
        architecture="results/{family}/{slug}/resolve/architecture.json",
        calibration="results/{family}/{slug}/sample/calibration/windows.parquet",
        tuning="results/{family}/{slug}/sample/tuning/windows.parquet",
    output:
        codes="results/{family}/{slug}/quantizers/{quantizer}/quantize/codes.safetensors",
        message="results/{family}/{slug}/quantizers/{quantizer}/encode/model.sbq",
        report="results/{family}/{slug}/quantizers/{quantizer}/encode/code.json",
        record="results/{family}/{slug}/quantizers/{quantizer}/encode/run.json",
    log:
        "results/{family}/{slug}/quantizers/{quantizer}/encode/compress.log",
    wildcard_constraints:
        quantizer=alternatives(PLAN.quantizers_of("coded")),
    priority: 1
    conda:
        "../../envs/scalebound.yaml"
    threads: 1
    params:
        settings=lambda w: PLAN.quantizer_settings(w.quantizer),
        tokens_seen=lambda w: PLAN.row(w.family, w.slug).tokens_seen,
        code=digest("compress"),
    shell:
        "python -m scalebound compress --settings {params.settings:q} --model {input.model:q}"
        " --architecture {input.architecture:q} --calibration {input.calibration:q} --tuning {input.tuning:q}"
        " --predictions {params.tokens_seen:q} --out {output.codes:q} --out-message {output.message:q}"
        " --out-report {output.report:q} --record {output.record:q} 2>&1 | tee {log:q}"
