"""
One target for each study: `snakemake trajectory` makes its tables and figures for every family of the configuration.
"""

for study in STUDIES:

    rule:
        name:
            study
        input:
            PLAN.study_targets(study),
