"""
What the bounds are compared with: the loss on held-out documents, and the bound for documents.

in   documents.parquet, tokenizer.json and the wheels of a stream; scores and bounds of the paper's quantizer
out  results/{family}/{slug}/heldout/windows.parquet                         rows of the held-out documents
     results/{family}/{slug}/heldout/scores.parquet                          of the checkpoint on these
     results/{family}/{slug}/quantizers/{quantizer}/heldout/scores.parquet   of the decoded model
     results/{family}/{slug}/baseline/baseline.json                          held-out loss, number of documents, their bound
     results/{family}/baselines.csv                                          beside the other bounds: estimates, but for certificates
"""

from scalebound.plan import plan_baselines


rule heldout:
    input:
        wheels=lambda w: PLAN.wheel_files(PLAN.row(w.family, w.slug).stream),
        documents=lambda w: f"results/streams/{PLAN.row(w.family, w.slug).stream}/documents.parquet",
        tokenizer=lambda w: f"results/streams/{PLAN.row(w.family, w.slug).stream}/tokenizer.json",
    output:
        windows="results/{family}/{slug}/heldout/windows.parquet",
        record="results/{family}/{slug}/heldout/run.json",
    log:
        "results/{family}/{slug}/heldout/heldout.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        settings=PLAN.study_settings("baselines"),
        stream=lambda w: plan_baselines.stream_settings(PLAN, w.family, w.slug),
        folder=lambda w, input: input.wheels[0].rpartition("/")[0],
        code=digest("heldout"),
    shell:
        "python -m scalebound heldout --settings {params.settings:q} --stream-settings {params.stream:q}"
        " --documents {input.documents:q} --wheels {params.folder:q} --tokenizer {input.tokenizer:q}"
        " --out {output.windows:q} --record {output.record:q} 2>&1 | tee {log:q}"


use rule score as score_heldout with:
    input:
        model="results/{family}/{slug}/resolve/resolved.json",
        windows="results/{family}/{slug}/heldout/windows.parquet",
    output:
        scores="results/{family}/{slug}/heldout/scores.parquet",
        record="results/{family}/{slug}/heldout/score.run.json",
    log:
        "results/{family}/{slug}/heldout/score.log",


use rule score as score_heldout_quantized with:
    input:
        model="results/{family}/{slug}/quantizers/{quantizer}/decode/decoded.json",
        windows="results/{family}/{slug}/heldout/windows.parquet",
    output:
        scores="results/{family}/{slug}/quantizers/{quantizer}/heldout/scores.parquet",
        record="results/{family}/{slug}/quantizers/{quantizer}/heldout/score.run.json",
    log:
        "results/{family}/{slug}/quantizers/{quantizer}/heldout/score.log",


rule baseline:
    input:
        bounds=f"results/{{family}}/{{slug}}/quantizers/{PLAN.config.paper_quantizer}/bound/bounds.json",
        scores=f"results/{{family}}/{{slug}}/quantizers/{PLAN.config.paper_quantizer}/score/scores.parquet",
        windows="results/{family}/{slug}/sample/score/windows.parquet",
        tokens=lambda w: PLAN.run_rows(PLAN.row(w.family, w.slug).repo, "tokens.bin"),
        stream=lambda w: PLAN.run_rows(PLAN.row(w.family, w.slug).repo, "stream.json"),
        heldout="results/{family}/{slug}/heldout/scores.parquet",
        heldout_quantized=f"results/{{family}}/{{slug}}/quantizers/{PLAN.config.paper_quantizer}/heldout/scores.parquet",
    output:
        baseline="results/{family}/{slug}/baseline/baseline.json",
        record="results/{family}/{slug}/baseline/run.json",
    log:
        "results/{family}/{slug}/baseline/baseline.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        settings=PLAN.bound_settings(),
        code=digest("baseline"),
    shell:
        "python -m scalebound baseline --settings {params.settings:q} --bounds {input.bounds:q} --scores {input.scores:q}"
        " --windows {input.windows:q} --tokens {input.tokens:q} --stream {input.stream:q} --heldout {input.heldout:q}"
        " --heldout-quantized {input.heldout_quantized:q} --out {output.baseline:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule baselines_table:
    input:
        bounds=lambda w: plan_baselines.bounds_of(PLAN, w.family),
        baselines=lambda w: plan_baselines.baselines_of(PLAN, w.family),
        certificates=lambda w: plan_baselines.certificates_of(PLAN, w.family),
    output:
        table=report(
            "results/{family}/baselines.csv",
            caption="../report/baselines.rst",
            category="{family}",
            labels={"what": "bounds and held-out losses"},
        ),
        identity="results/{family}/baselines.identity.json",
        record="results/{family}/baselines.run.json",
    log:
        "results/{family}/baselines.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        code=digest("baselines"),
    shell:
        "python -m scalebound baselines --bounds {input.bounds:q} --baselines {input.baselines:q}"
        " --certificates {input.certificates:q} --out {output.table:q} --out-identity {output.identity:q}"
        " --record {output.record:q} 2>&1 | tee {log:q}"
