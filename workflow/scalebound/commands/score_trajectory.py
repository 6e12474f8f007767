"""Token losses and entropies along training: every kept checkpoint of a run, and its quantized model, on windows of what it had seen.

One process goes through all steps: sent through the chain of jobs one by one, each would pay for its imports some ten times.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from scalebound.artifacts.architecture import read_architecture
from scalebound.artifacts.parquet import write_parquet
from scalebound.artifacts.provenance import check_keys, file_sha256, identity, read_json
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.configuration.config import GridQuantizer, Scoring, TrainingRun
from scalebound.configuration.studies import Trajectory
from scalebound.corpus.rows import open_rows
from scalebound.errors import InputError
from scalebound.scoring.trajectory import draw, steps_of

GROUP = "studies"

FILES = ("config.json", "model.safetensors")


class Settings(Trajectory):
    """The study, the run, the step at which its trajectory ends, the paper's quantizer, and how models are scored."""

    run: TrainingRun
    last_step: int
    quantizer: GridQuantizer
    scoring: Scoring = Scoring()


def add_arguments(parser):
    add_settings(parser, Settings)
    parser.add_argument("--checkpoints", required=True, help="checkpoints.json of the run, beside its kept steps")
    parser.add_argument("--architecture", required=True, help="architecture.json")
    parser.add_argument("--tokens", required=True, help="tokens.bin")
    parser.add_argument("--stream", required=True, help="stream.json")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", required=True, help="scores.parquet: step, window, row, position, and nll and entropy of both models")


@dataclass(frozen=True)
class Scorer:
    """How every step is scored and quantized: config.Scoring, one of config.GridQuantizer, the architecture's parameters, a torch device."""

    scoring: Scoring
    quantizer: object
    parameters: list
    device: object

    def score(self, folder, tokens, calibration):
        """(Scores of the checkpoint in `folder`, Scores of its quantized model, causality) on `tokens` [windows, row_tokens].

        `calibration` are the windows that the quantizer looks at. As in the chain of jobs, it works in float32, and the
        weights are scored in the dtype of the settings.
        """
        from scalebound.models import loading
        from scalebound.quantization.whole_model import quantize_model
        from scalebound.scoring import scoring

        inputs = tokens.shape[1] - 1
        model, causality = loading.load_folder(folder, self.device, self.scoring.dtype, inputs)
        plain = scoring.score(model, tokens, self.scoring.windows_per_batch, f"score {folder}")
        model, _ = loading.load_folder(folder, self.device, "float32", inputs)
        quantize_model(model, self.parameters, self.quantizer, calibration[:, :-1], folder)
        model = model.to(loading.DTYPES[self.scoring.dtype])
        return plain, scoring.score(model, tokens, self.scoring.windows_per_batch, f"score quantized {folder}"), causality


def run(arguments):
    import torch

    from scalebound.models import files

    settings = read_settings(arguments, Settings)
    training, scoring = settings.run, settings.scoring
    torch.set_num_threads(arguments.threads)
    architecture, (rows, _) = read_architecture(arguments.architecture), open_rows(arguments.tokens, arguments.stream)
    if training.rows > rows.rows:
        raise InputError(arguments.stream, f"{rows.rows} rows, the run reads {training.rows}", "Give the rows that the run was trained on")
    steps, folder = steps_of(training, settings.last_step, settings.max_points), Path(arguments.checkpoints).parent
    check_checkpoints(arguments.checkpoints, steps)
    scorer = Scorer(scoring, settings.quantizer, architecture["parameters"], files.choose_device(scoring.device))
    parts, causality = [], {}
    for step in steps:
        ids = draw(training, step, settings.windows, settings.seed)
        calibration = rows.read(draw(training, step, settings.calibration, settings.calibration_seed))
        # torch takes no unsigned integers of two bytes
        plain, quantized, causality[step] = scorer.score(folder / f"step{step}", rows.read(ids).astype(np.int32), calibration.astype(np.int32))
        parts.append(_table(step, ids, plain, quantized))
        print(f"step {step}: loss {plain.nll.mean(dtype=np.float64):.4f}, quantized {quantized.nll.mean(dtype=np.float64):.4f} nats", flush=True)
    made_of = identity(
        "score-trajectory",
        {name: getattr(arguments, name) for name in ("checkpoints", "architecture", "tokens", "stream")},
        settings.model_dump(mode="json"),
        packages=["numpy", "torch", "transformers"],
        device=files.device_name(scorer.device),
        dtype=scoring.dtype,
        threads=arguments.threads,
        causality=causality,
    )
    write_parquet(arguments.out, pa.concat_tables(parts), made_of)
    return [arguments.out]


def check_checkpoints(listing, steps):
    """Raise InputError unless the files of all steps lie beside their listing and are those that training wrote."""
    folder, value = Path(listing).parent, read_json(listing, "train", {"files": list})
    for file in value["files"]:
        check_keys(file, {"name": str, "sha256": str}, listing)
    written = {file["name"]: file["sha256"] for file in value["files"]}
    for name in (f"step{step}/{file}" for step in steps for file in FILES):
        if name not in written:
            raise InputError(listing, f"no {name} in it", "Train the run again, or name a step that it keeps")
        found = file_sha256(folder / name)
        if found != written[name]:
            raise InputError(folder / name, f"sha256 {found}, {listing} says {written[name]}", "The file was altered: train the run again")


def _table(step, ids, plain, quantized):
    count, length = plain.nll.shape
    window, position = np.divmod(np.arange(count * length), length)
    columns = {"step": np.full(count * length, step, dtype=np.int32), "window": window.astype(np.int32), "row": np.repeat(ids, length)}
    columns |= {"position": position.astype(np.int32), "nll": plain.nll.reshape(-1), "entropy": plain.entropy.reshape(-1)}
    return pa.table(columns | {"quantized_nll": quantized.nll.reshape(-1), "quantized_entropy": quantized.entropy.reshape(-1)})
