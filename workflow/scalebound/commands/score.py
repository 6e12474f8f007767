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


def add_arguments(parser, settings=Scoring):
    add_settings(parser, settings)
    parser.add_argument("--model", required=True, help="resolved.json or decoded.json")
    parser.add_argument("--windows", required=True, help="windows.parquet")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", required=True, help="scores.parquet: window, position, nll, entropy")


def run(arguments):
    from scalebound.scoring import scoring

    settings = read_settings(arguments, Scoring)
    task = Task(arguments, settings)
    started = time.monotonic()
    scores = scoring.score(task.model, task.tokens, task.windows_per_batch, f"score {arguments.model}")
    task.write({"nll": scores.nll, "entropy": scores.entropy}, "score", {}, time.monotonic() - started)
    return [arguments.out]


class Task:
    """The model and the windows of a scoring command, and how its scores are written.

    Raises:
        InputError: files that are unreadable, or windows of a larger vocabulary than the model's.
    """

    def __init__(self, arguments, settings):
        import torch

        from scalebound.models import files, loading
        from scalebound.scoring import scoring

        torch.set_num_threads(arguments.threads)
        self.arguments, self.settings = arguments, settings
        self.rows, self.tokens, self.drawn = windows.read(arguments.windows)
        check_keys(self.drawn, {"vocab_size": int}, arguments.windows)
        self.description = files.read_description(arguments.model)
        self.device = files.device_for(settings.device, self.description, settings.dtype)
        if self.drawn["vocab_size"] > self.description["vocab_size"]:
            found = f"windows of a vocabulary of {self.drawn['vocab_size']}, model output of {self.description['vocab_size']}"
            raise InputError(arguments.windows, found, "Sample from the stream that the checkpoint was trained on")
        self.inputs = self.tokens.shape[1] - 1
        self.model, self.causality = loading.load_described(self.description, self.device, settings.dtype, self.inputs)
        self.windows_per_batch = settings.windows_per_batch or scoring.batch_windows(self.model, self.inputs)

    def write(self, columns, stage, inputs, seconds, **facts):
        """scores.parquet with {name: array [windows, positions]} and its identity; `inputs` are those beside model and windows."""
        from scalebound.models import files

        made_of = identity(
            stage,
            {"model": self.arguments.model, "windows": self.arguments.windows} | inputs,
            self.settings.model_dump(),
            packages=["torch", "transformers"],
            model_files=self.description["files"],
            device=files.device_name(self.device),
            dtype=self.settings.dtype,
            windows_per_batch=self.windows_per_batch,
            threads=self.arguments.threads,
            vocab_size=self.description["vocab_size"],
            sampling=self.drawn["sampling"],
            causality=self.causality,
            **facts,
        )
        write_parquet(self.arguments.out, _table(columns), made_of)
        size, mean = columns["nll"].size, columns["nll"].mean(dtype=np.float64)
        print(f"{size} tokens on {self.device.type} at {size / seconds:.0f} tokens/s: mean loss {mean:.4f} nats")


def _table(columns):
    count, length = columns["nll"].shape
    window, position = np.divmod(np.arange(count * length, dtype=np.int32), length)
    return pa.table({"window": window, "position": position} | {name: column.reshape(-1) for name, column in columns.items()})
