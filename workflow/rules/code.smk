"""
The code: one message that names the hypothesis, and the model rebuilt from it alone.

in   codes.safetensors, architecture.json
out  results/{family}/{slug}/quantizers/{quantizer}/encode/model.sbq    the message; its length is the code length
     results/{family}/{slug}/quantizers/{quantizer}/encode/code.json    bytes, bits per parameter, bits by parameter
     results/{family}/{slug}/quantizers/{quantizer}/decode/...          config.json, model.safetensors, decoded.json
"""


rule encode:
    input:
        codes="results/{family}/{slug}/quantizers/{quantizer}/quantize/codes.safetensors",
        architecture="results/{family}/{slug}/resolve/architecture.json",
    output:
        message="results/{family}/{slug}/quantizers/{quantizer}/encode/model.sbq",
        report="results/{family}/{slug}/quantizers/{quantizer}/encode/code.json",
        record="results/{family}/{slug}/quantizers/{quantizer}/encode/run.json",
    log:
        "results/{family}/{slug}/quantizers/{quantizer}/encode/encode.log",
    wildcard_constraints:
        quantizer=alternatives(PLAN.grid_quantizers()),
    conda:
        "../../envs/scalebound.yaml"
    params:
        settings=lambda w: PLAN.quantizer_settings(w.quantizer),
        code=digest("encode"),
    shell:
        "python -m scalebound encode --settings {params.settings:q} --codes {input.codes:q}"
        " --architecture {input.architecture:q} --out {output.message:q} --out-report {output.report:q}"
        " --record {output.record:q} 2>&1 | tee {log:q}"


rule decode:
    input:
        message="results/{family}/{slug}/quantizers/{quantizer}/encode/model.sbq",
        architecture="results/{family}/{slug}/resolve/architecture.json",
    output:
        decoded="results/{family}/{slug}/quantizers/{quantizer}/decode/decoded.json",
        config="results/{family}/{slug}/quantizers/{quantizer}/decode/config.json",
        weights="results/{family}/{slug}/quantizers/{quantizer}/decode/model.safetensors",
        record="results/{family}/{slug}/quantizers/{quantizer}/decode/run.json",
    log:
        "results/{family}/{slug}/quantizers/{quantizer}/decode/decode.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        folder=subpath(output.decoded, parent=True),
        code=digest("decode"),
    shell:
        "python -m scalebound decode --message {input.message:q} --architecture {input.architecture:q}"
        " --out {params.folder:q} --record {output.record:q} 2>&1 | tee {log:q}"
