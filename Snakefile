# Entry point: `snakemake` in this folder runs the workflow below and builds its default targets.


include: "workflow/Snakefile"


rule default:
    default_target: True
    input:
        rules.all.input,
