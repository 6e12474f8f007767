"""Training of the models that the workflow trains itself.

results/training/{run}/step{k}/...       config.json and model.safetensors of every kept step
results/training/{run}/averages.safetensors  averaged weights by step k, which have seen rows < k * batch_rows only: `k/parameter`
results/training/{run}/checkpoints.json  the digests of all of these
results/training/{run}/loss.parquet      loss of every step

As many threads as its settings say, one if nothing: as many runs as cores train side by side, and each repeats bit for bit on one machine.
"""

from scalebound.plan.rule import Rule


def rules(plan):
    return [_train(plan, name, run) for name, run in plan.config.training.items()]


def _train(plan, name, run):
    folder = f"results/training/{name}"
    return Rule(
        f"train_{name}".replace("-", "_").replace(".", "_"),
        "train",
        inputs={"tokens": plan.run_rows(name, "tokens.bin"), "stream": plan.run_rows(name, "stream.json")},
        outputs={"out_loss": f"{folder}/loss.parquet"},
        beside={"listing": f"{folder}/checkpoints.json", "averages": f"{folder}/averages.safetensors", "checkpoints": kept_files(name, run.kept_steps())},
        record=f"{folder}/run.json",
        settings=lambda w: run.model_dump(mode="json"),
        cores=run.threads,
        options=lambda w: {"name": name, "out": folder},
        vouches={"listing": ("averages", "checkpoints")},
        # the run with most work starts first, so that the last core is not left with it alone
        priority=run.steps * run.batch_rows * run.layers * run.hidden_size**2 // 10**6,
    )


def kept_files(run, steps):
    return [f"results/training/{run}/step{step}/{name}" for step in steps for name in ("config.json", "model.safetensors")]
