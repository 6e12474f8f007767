"""Loss and entropy of every token of the windows under a model, in nats."""

import time

import numpy as np
import pyarrow as pa

from scalebound.artifacts import windows
from scalebound.artifacts.parquet import write_parquet
from scalebound.artifacts.provenance import check_keys, identity
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.configuration.config import Scoring
from scalebound.errors import InputError

GROUP = "checkpoints"


def add_arguments(parser):
    add_settings(parser, Scoring)
    parser.add_argument("--model", required=True, help="resolved.json or decoded.json")
    parser.add_argument("--windows", required=True, help="windows.parquet")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", required=True, help="scores.parquet: window, position, nll, entropy")


def run(arguments):
    import torch

    from scalebound.models import files, loading
    from scalebound.scoring import scoring

    settings = read_settings(arguments, Scoring)
    torch.set_num_threads(arguments.threads)
    device = files.choose_device(settings.device)
    _, tokens, drawn = windows.read(arguments.windows)
    check_keys(drawn, {"vocab_size": int}, arguments.windows)
    description = files.read_description(arguments.model)
    if drawn["vocab_size"] > description["vocab_size"]:
        found = f"windows of a vocabulary of {drawn['vocab_size']}, model output of {description['vocab_size']}"
        raise InputError(arguments.windows, found, "Sample from the stream that the checkpoint was trained on")
    model, causality = loading.load_described(description, device, settings.dtype, tokens.shape[1] - 1)
    size = settings.windows_per_batch or scoring.batch_windows(model, tokens.shape[1] - 1)
    started = time.monotonic()
    scores = scoring.score(model, tokens, size, f"score {arguments.model}")
    seconds = time.monotonic() - started
    made_of = identity(
        "score",
        {"model": arguments.model, "windows": arguments.windows},
        settings.model_dump(),
        packages=["torch", "transformers"],
        model_files=description["files"],
        device=files.device_name(device),
        dtype=settings.dtype,
        windows_per_batch=size,
        threads=arguments.threads,
        vocab_size=description["vocab_size"],
        sampling=drawn["sampling"],
        causality=causality,
    )
    write_parquet(arguments.out, _table(scores), made_of)
    mean = scores.nll.mean(dtype=np.float64)
    print(f"{scores.nll.size} tokens on {device.type} at {scores.nll.size / seconds:.0f} tokens/s: mean loss {mean:.4f} nats")
    return [arguments.out]


def _table(scores):
    count, length = scores.nll.shape
    window, position = np.divmod(np.arange(count * length), length)
    return pa.table(
        {"window": window.astype(np.int32), "position": position.astype(np.int32), "nll": scores.nll.reshape(-1), "entropy": scores.entropy.reshape(-1)}
    )
