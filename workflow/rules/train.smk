"""
Training of the models that the workflow trains itself.

in   results/streams/{stream}/rows{rows}/tokens.bin  the rows that the run will see, in training order
out  results/training/{run}/step{k}/...              config.json and model.safetensors of every kept step
     results/training/{run}/loss.parquet             loss of every step

One thread a run: as many runs as cores train side by side, and each repeats bit for bit on one machine.
"""

for run in PLAN.config.training:

    rule:
        name:
            f"train_{run}".replace("-", "_").replace(".", "_")
        input:
            tokens=PLAN.run_rows(run, "tokens.bin"),
            stream=PLAN.run_rows(run, "stream.json"),
        output:
            checkpoints=PLAN.checkpoint_files(run),
            listing=f"results/training/{run}/checkpoints.json",
            loss=f"results/training/{run}/loss.parquet",
            record=f"results/training/{run}/run.json",
        log:
            f"results/training/{run}/train.log",
        priority: PLAN.training_priority(run)
        conda:
            "../../envs/scalebound.yaml"
        threads: 1
        params:
            settings=PLAN.training_settings(run),
            run=run,
            folder=subpath(output.listing, parent=True),
            code=digest("train"),
        shell:
            "python -m scalebound train --settings {params.settings:q} --name {params.run:q}"
            " --tokens {input.tokens:q} --stream {input.stream:q} --out {params.folder:q} --out-loss {output.loss:q}"
            " --record {output.record:q} 2>&1 | tee {log:q}"
