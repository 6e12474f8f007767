"""
Figures of a family, as PNG for screens and PDF for papers.

in   results/{family}/bounds.csv, or comparison.csv
out  results/{family}/figures/{figure}.png|pdf
"""


rule figures:
    input:
        table=lambda w: f"results/{w.family}/{FIGURES[w.figure]}",
    output:
        png=report(
            "results/{family}/figures/{figure}.png",
            caption="../report/figures.rst",
            category="{family}",
            labels={"what": "{figure}"},
        ),
        pdf="results/{family}/figures/{figure}.pdf",
        record="results/{family}/figures/{figure}.run.json",
    log:
        "results/{family}/figures/{figure}.log",
    wildcard_constraints:
        figure=alternatives(FIGURES),
    conda:
        "../../envs/scalebound.yaml"
    params:
        quantizer=PLAN.config.paper_quantizer,
        code=digest("figures"),
    shell:
        "python -m scalebound figures --table {input.table:q} --figure {wildcards.figure:q}"
        " --quantizer {params.quantizer:q} --png {output.png:q} --pdf {output.pdf:q} --record {output.record:q} 2>&1 | tee {log:q}"
