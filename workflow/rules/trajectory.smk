"""
Bounds along training: every kept checkpoint of a run in one job, at the nominal code length of the paper's quantizer.

in   results/training/{run}/checkpoints.json and the kept steps, tokens.bin, architecture.json, resolved.json
out  results/{family}/{slug}/trajectory/scores.parquet   step, window, row, position, nll and entropy, plain and quantized
     results/{family}/{slug}/trajectory/bounds.json      every bound with its terms, step by step: estimates
     results/{family}/trajectory.csv                     all of a family; rows that were not trained here are points of it
"""

from scalebound.plan import plan_trajectory


rule score_trajectory:
    input:
        checkpoints=lambda w: plan_trajectory.checkpoint_files(PLAN, w.family, w.slug),
        listing=lambda w: f"results/training/{PLAN.row(w.family, w.slug).repo}/checkpoints.json",
        architecture="results/{family}/{slug}/resolve/architecture.json",
        tokens=lambda w: PLAN.run_rows(PLAN.row(w.family, w.slug).repo, "tokens.bin"),
        stream=lambda w: PLAN.run_rows(PLAN.row(w.family, w.slug).repo, "stream.json"),
    output:
        scores="results/{family}/{slug}/trajectory/scores.parquet",
        record="results/{family}/{slug}/trajectory/score.run.json",
    log:
        "results/{family}/{slug}/trajectory/score.log",
    conda:
        "../../envs/scalebound.yaml"
    threads: 1
    resources:
        gpu=PLAN.gpus_per_job,
    params:
        settings=PLAN.study_settings("trajectory"),
        run=lambda w: PLAN.training_settings(PLAN.row(w.family, w.slug).repo),
        step=lambda w: PLAN.row(w.family, w.slug).step,
        quantizer=PLAN.quantizer_settings(PLAN.config.paper_quantizer),
        scoring=PLAN.scoring_settings(),
        code=digest("score-trajectory"),
    shell:
        "python -m scalebound score-trajectory --settings {params.settings:q} --run {params.run:q} --last-step {params.step:q}"
        " --quantizer {params.quantizer:q} --scoring {params.scoring:q} --checkpoints {input.listing:q}"
        " --architecture {input.architecture:q} --tokens {input.tokens:q} --stream {input.stream:q} --threads {threads}"
        " --out {output.scores:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule bound_trajectory:
    input:
        model="results/{family}/{slug}/resolve/resolved.json",
        scores="results/{family}/{slug}/trajectory/scores.parquet",
    output:
        bounds="results/{family}/{slug}/trajectory/bounds.json",
        record="results/{family}/{slug}/trajectory/bound.run.json",
    log:
        "results/{family}/{slug}/trajectory/bound.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        settings=PLAN.bound_settings(),
        code=digest("bound-trajectory"),
    shell:
        "python -m scalebound bound-trajectory --settings {params.settings:q} --model {input.model:q} --scores {input.scores:q}"
        " --out {output.bounds:q} --record {output.record:q} 2>&1 | tee {log:q}"


rule trajectory_table:
    input:
        trajectories=lambda w: plan_trajectory.bounds_along(PLAN, w.family),
        bounds=lambda w: plan_trajectory.bounds_of_points(PLAN, w.family),
    output:
        table=report(
            "results/{family}/trajectory.csv",
            caption="../report/trajectory.rst",
            category="{family}",
            labels={"what": "bounds along training"},
        ),
        identity="results/{family}/trajectory.identity.json",
        record="results/{family}/trajectory.run.json",
    log:
        "results/{family}/trajectory.log",
    conda:
        "../../envs/scalebound.yaml"
    params:
        code=digest("trajectory"),
    shell:
        "python -m scalebound trajectory --trajectories {input.trajectories:q} --bounds {input.bounds:q}"
        " --out {output.table:q} --out-identity {output.identity:q} --record {output.record:q} 2>&1 | tee {log:q}"
