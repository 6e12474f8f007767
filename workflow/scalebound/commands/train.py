"""Train one GPT-NeoX model on the first rows of a stream, keeping checkpoints and the loss of every step."""

import dataclasses
import os
import shutil
import tempfile
from pathlib import Path

import pyarrow as pa

from scalebound.artifacts import atomic
from scalebound.artifacts.parquet import write_parquet
from scalebound.artifacts.provenance import describe_files, identity
from scalebound.artifacts.tensors import full_disk_is_an_os_error, write_tensors
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.configuration.config import TrainingRun
from scalebound.corpus.rows import open_rows

GROUP = "streams and training"

PACKAGES = ["torch", "transformers"]
FILES = ("config.json", "model.safetensors")
AVERAGES = "averages.safetensors"  # of every reference's step, a tensor `<step>/<parameter>` for each parameter


def add_arguments(parser):
    add_settings(parser, TrainingRun)
    parser.add_argument("--name", required=True, help="name of the run")
    parser.add_argument("--tokens", required=True, help="tokens.bin")
    parser.add_argument("--stream", required=True, help="stream.json")
    parser.add_argument("--out", required=True, help="folder of what is kept: step<k>/, each a model; averages.safetensors; checkpoints.json")
    parser.add_argument("--out-loss", required=True, help="loss.parquet: step, tokens_seen, loss (nats, before the step), learning_rate")


def run(arguments):
    import torch

    from scalebound.models import training

    settings = read_settings(arguments, TrainingRun)
    # as many as the settings say: a sum's order, and with it every bit of the result, does not depend on the machine's load
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True)
    rows, _ = open_rows(arguments.tokens, arguments.stream)
    made_of = identity(
        "train",
        {"tokens": arguments.tokens, "stream": arguments.stream},
        settings.model_dump(),
        packages=PACKAGES,
        device="cpu",
        dtype="float32",
        threads=settings.threads,
    )
    out = Path(arguments.out)
    unfinished = arguments.unfinished(out, made_of)
    history, averages = training.train(settings, rows, lambda step, model: _save(model, out / f"step{step}"), arguments.name, unfinished)
    columns = {field.name: [getattr(step, field.name) for step in history] for field in dataclasses.fields(training.Step)}
    write_parquet(arguments.out_loss, pa.table(columns), made_of)
    write_tensors(out / AVERAGES, {f"{step}/{name}": w.numpy() for step, weights in averages.items() for name, w in weights.items()}, {"format": "pt"})
    names = [AVERAGES, *(os.path.join(f"step{step}", name) for step in settings.kept_steps() for name in FILES)]
    atomic.write_json(out / "checkpoints.json", {"identity": made_of, "files": describe_files(out, names)})
    print(f"{arguments.name}: {len(settings.kept_steps())} checkpoints, last losses {[round(x, 3) for x in columns['loss'][-3:]]}")
    return [arguments.out_loss, out / "checkpoints.json", *(out / name for name in names)]


def _save(model, folder):
    """config.json and model.safetensors in `folder`, which appears whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        staged = Path(temporary) / folder.name
        with full_disk_is_an_os_error(folder):
            model.save_pretrained(staged)
        (staged / "generation_config.json").unlink(missing_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
        staged.replace(folder)
