"""
Study curvature: what the spectra of input moments and of the loss Hessian say of rounding weights.

in   resolved.json, the calibration draw
out  results/{family}/{slug}/curvature/spectra.parquet   eigenvalues of the input second moment of every linear layer
     results/{family}/{slug}/curvature/hessian.json      nodes and weights of stochastic Lanczos quadrature, or why there are none
     results/{family}/spectra.csv                        one row for each checkpoint and layer
     results/{family}/hessian.csv                        one row for each checkpoint: trace, ends, shares
     results/{family}/hessian_nodes.csv                  one row for each checkpoint, probe and node
"""


rule moments:
    input:
        model="results/{family}/{slug}/resolve/resolved.json",
        calibration="results/{family}/{slug}/sample/calibration/windows.parquet",
    output:
        spectra="results/{family}/{slug}/curvature/spectra.parquet",
        record="results/{family}/{slug}/curvature/moments.run.json",
    log:
        "results/{family}/{slug}/curvature/moments.log",
    conda:
        "../../envs/scalebound.yaml"
    threads: 1
    resources:
        gpu=PLAN.gpus_per_job,
    params:
        device=PLAN.config.scoring.device,
        code=digest("moments"),
    shell:
        "python -m scalebound moments --model {input.model:q} --calibration {input.calibration:q} --device {params.device:q}"
        " --threads {threads} --out {output.spectra:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule hessian:
    input:
        model="results/{family}/{slug}/resolve/resolved.json",
        calibration="results/{family}/{slug}/sample/calibration/windows.parquet",
    output:
        hessian="results/{family}/{slug}/curvature/hessian.json",
        record="results/{family}/{slug}/curvature/hessian.run.json",
    log:
        "results/{family}/{slug}/curvature/hessian.log",
    conda:
        "../../envs/scalebound.yaml"
    threads: 1
    resources:
        gpu=PLAN.gpus_per_job,
    params:
        settings=PLAN.study_settings("hessian"),
        device=PLAN.config.scoring.device,
        code=digest("hessian"),
    shell:
        "python -m scalebound hessian --settings {params.settings:q} --model {input.model:q}"
        " --calibration {input.calibration:q} --device {params.device:q} --threads {threads}"
        " --out {output.hessian:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule spectra:
    input:
        models=lambda w: PLAN.descriptions_of(w.family),
        spectra=lambda w: PLAN.curvature_of(w.family, "spectra.parquet"),
    output:
        table="results/{family}/spectra.csv",
        identity="results/{family}/spectra.identity.json",
        record="results/{family}/spectra.run.json",
    log:
        "results/{family}/spectra.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        code=digest("spectra"),
    shell:
        "python -m scalebound spectra --models {input.models:q} --spectra {input.spectra:q} --out {output.table:q}"
        " --out-identity {output.identity:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule hessian_summary:
    input:
        hessians=lambda w: PLAN.curvature_of(w.family, "hessian.json"),
    output:
        table="results/{family}/hessian.csv",
        identity="results/{family}/hessian.identity.json",
        record="results/{family}/hessian.run.json",
    log:
        "results/{family}/hessian.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        code=digest("hessian-summary"),
    shell:
        "python -m scalebound hessian-summary --hessians {input.hessians:q} --out {output.table:q}"
        " --out-identity {output.identity:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule hessian_nodes:
    input:
        hessians=lambda w: PLAN.curvature_of(w.family, "hessian.json"),
    output:
        table="results/{family}/hessian_nodes.csv",
        identity="results/{family}/hessian_nodes.identity.json",
        record="results/{family}/hessian_nodes.run.json",
    log:
        "results/{family}/hessian_nodes.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        code=digest("hessian-nodes"),
    shell:
        "python -m scalebound hessian-nodes --hessians {input.hessians:q} --out {output.table:q}"
        " --out-identity {output.identity:q} --record {output.record:q} 2>&1 | tee {log:q}"
