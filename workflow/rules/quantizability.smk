"""
Study quantizability: what rounding costs against bits per parameter.

in   results/{family}/bounds.csv
out  results/{family}/quantizability.csv   one row for each checkpoint and quantizer with a nominal number of bits
"""


rule quantizability_table:
    input:
        table="results/{family}/bounds.csv",
    output:
        table="results/{family}/quantizability.csv",
        identity="results/{family}/quantizability.identity.json",
        record="results/{family}/quantizability.run.json",
    log:
        "results/{family}/quantizability.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        methods=PLAN.nominal_settings(),
        code=digest("quantizability"),
    shell:
        "python -m scalebound quantizability --table {input.table:q} --methods {params.methods:q} --out {output.table:q}"
        " --out-identity {output.identity:q} --record {output.record:q} 2>&1 | tee {log:q}"
