"""
The results as an RO-Crate: run it with `snakemake crate`. It has no output files for snakemake, so it always runs when
asked for. The results folder itself is the crate: it can be archived or published as it is.

in   everything under results/ that the families' tables and figures follow from, and its run records
out  results/ro-crate-metadata.json   each file, the job that made it, and its inputs, parameters and software
     results/crate/                   a copy of the workflow
"""


rule crate:
    input:
        PLAN.targets(),
    log:
        "results/crate/crate.log",
    conda:
        "../../envs/scalebound.yaml"
    shell:
        "python -m scalebound crate --results results --out results/crate 2>&1 | tee {log:q}"
