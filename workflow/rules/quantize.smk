"""
Every parameter as integers.

in   resolved.json (which names the weights), architecture.json, the calibration draw
out  results/{family}/{slug}/quantizers/{quantizer}/quantize/codes.safetensors    codes, scales, zeros
     results/{family}/{slug}/quantizers/{quantizer}/quantize/quantization.json    method, damping, error by parameter
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
