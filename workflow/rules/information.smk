"""
Information content, scaling laws, and the gap that follows from them; all of it estimates.

in   loss.parquet of the family's runs, bounds.csv, trajectory.csv, scores of the unquantized models, the table of published models
out  results/{family}/loss_curves.csv     loss and prequential information at places along training
     results/{family}/scaling_law.csv     Chinchilla's law fitted to them, beside published constants
     results/{family}/information.csv     bits per parameter and per token; bounds with the information as code length
     results/{family}/gap_law.csv         gaps measured, and predicted for published models
     results/{family}/gap_exponents.csv   gap ~ D^-exponent, measured and predicted
     results/{family}/overtraining.csv    the bound's terms over sizes and tokens, under the laws
"""


rule loss_curves:
    input:
        bounds="results/{family}/bounds.csv",
        trajectory="results/{family}/trajectory.csv",
        losses=lambda w: [
            f"results/training/{run}/loss.parquet" for run in PLAN.runs_of(w.family)
        ],
    output:
        table="results/{family}/loss_curves.csv",
        identity="results/{family}/loss_curves.identity.json",
        record="results/{family}/loss_curves.run.json",
    log:
        "results/{family}/loss_curves.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        rows=lambda w: json.dumps(PLAN.curve_rows(w.family)),
        code=digest("loss-curves"),
    shell:
        "python -m scalebound loss-curves --rows {params.rows:q} --bounds {input.bounds:q} --trajectory {input.trajectory:q}"
        " --losses {input.losses:q} --out {output.table:q} --out-identity {output.identity:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule scaling_law:
    input:
        curves="results/{family}/loss_curves.csv",
    output:
        table=report(
            "results/{family}/scaling_law.csv",
            caption="../report/scaling_law.rst",
            category="{family}",
            labels={"what": "scaling laws"},
        ),
        identity="results/{family}/scaling_law.identity.json",
        record="results/{family}/scaling_law.run.json",
    log:
        "results/{family}/scaling_law.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        settings=PLAN.study_settings("information"),
        code=digest("scaling-law"),
    shell:
        "python -m scalebound scaling-law --settings {params.settings:q} --curves {input.curves:q}"
        " --out {output.table:q} --out-identity {output.identity:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule information_table:
    input:
        curves="results/{family}/loss_curves.csv",
        laws="results/{family}/scaling_law.csv",
        scores=lambda w: [
            f"results/{w.family}/{row.slug}/score/scores.parquet"
            for row in PLAN.rows_of(w.family)
        ],
    output:
        table="results/{family}/information.csv",
        identity="results/{family}/information.identity.json",
        record="results/{family}/information.run.json",
    log:
        "results/{family}/information.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        settings=PLAN.bound_settings(),
        slugs=lambda w: [row.slug for row in PLAN.rows_of(w.family)],
        code=digest("information"),
    shell:
        "python -m scalebound information --settings {params.settings:q} --curves {input.curves:q} --laws {input.laws:q}"
        " --checkpoints {params.slugs:q} --scores {input.scores:q}"
        " --out {output.table:q} --out-identity {output.identity:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule gap_law_table:
    input:
        bounds="results/{family}/bounds.csv",
        information="results/{family}/information.csv",
        laws="results/{family}/scaling_law.csv",
        models=PLAN.config.studies.extrapolation.models,
        certificates=lambda w: (
            [f"results/{w.family}/certificates.csv"]
            if PLAN.config.certificate.quantizer
            else []
        ),
    output:
        table="results/{family}/gap_law.csv",
        identity="results/{family}/gap_law.identity.json",
        exponents=report(
            "results/{family}/gap_exponents.csv",
            caption="../report/gap_exponents.rst",
            category="{family}",
            labels={"what": "exponents of the gap"},
        ),
        exponents_identity="results/{family}/gap_exponents.identity.json",
        record="results/{family}/gap_law.run.json",
    log:
        "results/{family}/gap_law.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        settings=PLAN.study_settings("extrapolation"),
        quantizer=PLAN.config.paper_quantizer,
        code=digest("gap-law"),
    shell:
        "python -m scalebound gap-law --settings {params.settings:q} --bounds {input.bounds:q} --quantizer {params.quantizer:q}"
        " --information {input.information:q} --laws {input.laws:q} --models {input.models:q} --certificates {input.certificates:q}"
        " --out {output.table:q} --out-identity {output.identity:q} --out-exponents {output.exponents:q}"
        " --out-exponents-identity {output.exponents_identity:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule overtraining_table:
    input:
        bounds="results/{family}/bounds.csv",
        laws="results/{family}/scaling_law.csv",
        models=PLAN.config.studies.extrapolation.models,
    output:
        table="results/{family}/overtraining.csv",
        identity="results/{family}/overtraining.identity.json",
        record="results/{family}/overtraining.run.json",
    log:
        "results/{family}/overtraining.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        settings=PLAN.study_settings("extrapolation"),
        quantizer=PLAN.config.paper_quantizer,
        code=digest("overtraining"),
    shell:
        "python -m scalebound overtraining --settings {params.settings:q} --bounds {input.bounds:q} --quantizer {params.quantizer:q}"
        " --laws {input.laws:q} --models {input.models:q}"
        " --out {output.table:q} --out-identity {output.identity:q} --record {output.record:q} 2>&1 | tee {log:q}"
