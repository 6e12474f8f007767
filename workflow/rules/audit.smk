"""
The audit: run it with `snakemake audit`. It has no output files for snakemake, so it always runs when asked for.

in   everything under results/
out  results/manifest.tsv   path, stage, bytes, sha256, code of every artifact
     results/audit.html     from each number of the tables to the artifacts behind it
"""


rule audit:
    input:
        PLAN.targets(),
    log:
        "results/audit.log",
    conda:
        "../../envs/scalebound.yaml"
    shell:
        "python -m scalebound audit results --page results/audit.html 2>&1 | tee {log:q}"
