# Entry point: `snakemake` in this folder runs the workflow below and builds its default targets.

import sys

# Snakemake imports pandas, where there is one, to look for data frames among params. These hold none, and every call would
# pay for it. Only here: a workflow that uses this one as a module may need its pandas.
sys.modules.setdefault("pandas", None)


include: "workflow/Snakefile"


rule default:
    default_target: True
    input:
        rules.all.input,
