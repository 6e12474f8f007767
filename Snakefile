# Entry point: `snakemake` in this folder runs the workflow below and builds its default targets.

import gc
import sys

# Snakemake imports pandas, where there is one, to look for data frames among params. These hold none, and every call would
# pay for it. Only here: a workflow that uses this one as a module may need its pandas.
sys.modules.setdefault("pandas", None)

# The digests of the stages' code make many small objects that stay; to search them for garbage again and again takes a seventh of
# `snakemake -n`. Before the first job it is switched on again.
gc.disable()


include: "workflow/Snakefile"


rule default:
    default_target: True
    input:
        rules.all.input,
