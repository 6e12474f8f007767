"""Exact references of the Freedman bound under a decoded model: what it expects of its own smoothed loss at every token."""

import numpy as np
import pyarrow as pa

from scalebound.artifacts import windows
from scalebound.artifacts.parquet import write_parquet
from scalebound.artifacts.provenance import check_keys, identity, read_json
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.configuration.config import Scoring

GROUP = "studies"


def add_arguments(parser):
    add_settings(parser, Scoring)
    parser.add_argument("--model", required=True, help="decoded.json")
    parser.add_argument("--windows", required=True, help="windows.parquet")
    parser.add_argument("--bounds", required=True, help="bounds.json, whose closed-form smoothing weight is taken")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", required=True, help="references.parquet: window, position, under_model, under_smoothed")


def run(arguments):
    import torch

    from scalebound.models import files, loading
    from scalebound.scoring.reference_losses import reference_losses

    settings = read_settings(arguments, Scoring)
    torch.set_num_threads(arguments.threads)
    device = files.choose_device(settings.device)
    _, tokens, _ = windows.read(arguments.windows)
    alpha = closed_form_alpha_of(arguments.bounds)
    description = files.read_description(arguments.model)
    model, causality = loading.load_described(description, device, settings.dtype, tokens.shape[1] - 1)
    found = reference_losses(model, tokens, alpha, f"references {arguments.model}")
    made_of = identity(
        "references",
        {"model": arguments.model, "windows": arguments.windows, "bounds": arguments.bounds},
        settings.model_dump() | {"alpha": alpha},
        packages=["torch", "transformers"],
        model_files=description["files"],
        device=files.device_name(device),
        dtype=settings.dtype,
        threads=arguments.threads,
        causality=causality,
    )
    count, length = found[0].shape
    window, position = np.divmod(np.arange(count * length, dtype=np.int32), length)
    columns = {"window": window, "position": position, "under_model": found[0].ravel(), "under_smoothed": found[1].ravel()}
    write_parquet(arguments.out, pa.table(columns), made_of)
    print(f"expected losses of {count * length} tokens at alpha {alpha:.4g}: mean {found[0].mean(dtype=np.float64):.4f} nats under the model")
    return [arguments.out]


def closed_form_alpha_of(path):
    """The smoothing weight of the paper's bound at the nominal code length. Raises InputError when bounds.json lacks it."""
    bounds = read_json(path, "bound", {"nominal": dict})
    check_keys(bounds["nominal"], {"paper": dict}, path)
    check_keys(bounds["nominal"]["paper"], {"alpha": float}, path)
    return bounds["nominal"]["paper"]["alpha"]
