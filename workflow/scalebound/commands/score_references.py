"""Loss of every token of the windows under a model and beside it under its reference, an earlier model that has not seen the row, in nats."""

import time

import numpy as np

from scalebound.artifacts.history import read_history
from scalebound.artifacts.scores import largest_names
from scalebound.commands import score
from scalebound.commands.arguments import read_settings
from scalebound.configuration.config import Scoring
from scalebound.errors import InputError

GROUP = "checkpoints"


class Settings(Scoring):
    """How models are scored, and the smoothing weights of the grid that online bounds pay for."""

    alphas: list[float]


def add_arguments(parser):
    score.add_arguments(parser, Settings)
    parser.add_argument("--history", required=True, help="history.json: the references of the checkpoint's run")
    parser.add_argument("--averages", help="averages.safetensors, where the run was trained here")


def run(arguments):
    from scalebound.models.references import References
    from scalebound.scoring import beside_reference

    settings = read_settings(arguments, Settings)
    task, history = score.Task(arguments, settings), read_history(arguments.history)
    if task.drawn["sampling"] == "heldout":
        raise InputError(arguments.windows, "held-out windows, which have no place in the stream", "Give windows of what the checkpoint saw")
    references = References(history, arguments.history, arguments.averages, task.description, task.device, settings.dtype, task.inputs)
    steps, started = history.steps_of(task.rows), time.monotonic()
    groups = ((np.flatnonzero(steps == step), model) for step, model in references.models(np.unique(steps).tolist()))
    found = beside_reference.score(task.model, groups, task.tokens, settings.alphas, task.windows_per_batch, f"score {arguments.model} beside its references")
    columns = {"nll": found.nll, "entropy": found.entropy, "reference_nll": found.reference_nll}
    columns |= dict(zip(largest_names(settings.alphas), found.largest))
    columns["reference"] = np.repeat(steps.astype(np.int32), task.inputs).reshape(found.nll.shape)
    inputs = {"history": arguments.history} | ({"averages": arguments.averages} if arguments.averages else {})
    task.write(columns, "score-references", inputs, time.monotonic() - started, references=references.causality)
    print(f"{len(np.unique(steps))} references: mean loss {found.reference_nll.mean(dtype=np.float64):.4f} nats")
    return [arguments.out]
