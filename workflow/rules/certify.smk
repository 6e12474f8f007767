"""
Certificates: bounds that hold as computed, for the decoded model of one quantizer, with a draw of their own.

in   resolved.json, code.json, model.sbq, architecture.json, sample/certify/windows.parquet, the decoded model
out  results/{family}/{slug}/quantizers/{quantizer}/certificate/
         scores.parquet      the decoded model on the draw
         certificate.json    the bound with its terms, grids, choices, division of the failure probability, identities
         model.sbq, architecture.json, windows.parquet    copies: `scalebound verify` needs this folder alone
     results/{family}/certificates.csv    the way from the paper's recipe to the certificate, step by step
"""


use rule score as score_certify with:
    input:
        model="results/{family}/{slug}/quantizers/{quantizer}/decode/decoded.json",
        windows="results/{family}/{slug}/sample/certify/windows.parquet",
    output:
        scores="results/{family}/{slug}/quantizers/{quantizer}/certificate/scores.parquet",
        record="results/{family}/{slug}/quantizers/{quantizer}/certificate/score.run.json",
    log:
        "results/{family}/{slug}/quantizers/{quantizer}/certificate/score.log",


rule certify:
    input:
        model="results/{family}/{slug}/resolve/resolved.json",
        code="results/{family}/{slug}/quantizers/{quantizer}/encode/code.json",
        message="results/{family}/{slug}/quantizers/{quantizer}/encode/model.sbq",
        architecture="results/{family}/{slug}/resolve/architecture.json",
        windows="results/{family}/{slug}/sample/certify/windows.parquet",
        scores="results/{family}/{slug}/quantizers/{quantizer}/certificate/scores.parquet",
    output:
        certificate="results/{family}/{slug}/quantizers/{quantizer}/certificate/certificate.json",
        message="results/{family}/{slug}/quantizers/{quantizer}/certificate/model.sbq",
        architecture="results/{family}/{slug}/quantizers/{quantizer}/certificate/architecture.json",
        windows="results/{family}/{slug}/quantizers/{quantizer}/certificate/windows.parquet",
        record="results/{family}/{slug}/quantizers/{quantizer}/certificate/run.json",
    log:
        "results/{family}/{slug}/quantizers/{quantizer}/certificate/certify.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        settings=PLAN.certificate_settings(),
        ceilings=PLAN.ceiling_settings(),
        code=digest("certify"),
    shell:
        "python -m scalebound certify --settings {params.settings:q} --ceilings {params.ceilings:q}"
        " --model {input.model:q} --code {input.code:q} --message {input.message:q}"
        " --architecture {input.architecture:q} --windows {input.windows:q} --scores {input.scores:q}"
        " --out {output.certificate:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule certificates:
    input:
        certificates=lambda w: PLAN.certificates_of(w.family),
        bounds=lambda w: PLAN.bounds_of(w.family),
        risks=lambda w: PLAN.true_risks_of(w.family),
    output:
        table=report(
            "results/{family}/certificates.csv",
            caption="../report/certificates.rst",
            category="{family}",
            labels={"what": "certificates"},
        ),
        identity="results/{family}/certificates.identity.json",
        record="results/{family}/certificates.run.json",
    log:
        "results/{family}/certificates.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        paper=PLAN.config.paper_quantizer,
        untuned=PLAN.config.certificate.untuned or "",
        code=digest("certificates"),
    shell:
        "python -m scalebound certificates --certificates {input.certificates:q} --bounds {input.bounds:q}"
        " --true-risks {input.risks:q} --paper-quantizer {params.paper:q} --untuned {params.untuned:q}"
        " --out {output.table:q} --out-identity {output.identity:q} --record {output.record:q} 2>&1 | tee {log:q}"
