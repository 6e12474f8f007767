"""Spectra of the input second moments H = E[z z^T] of every linear layer, on the calibration windows."""

import numpy as np
import pyarrow as pa

from scalebound.artifacts import windows
from scalebound.artifacts.parquet import write_parquet
from scalebound.artifacts.provenance import identity
from scalebound.configuration.config import Scoring, parse

GROUP = "studies"


def add_arguments(parser):
    parser.add_argument("--model", required=True, help="resolved.json")
    parser.add_argument("--calibration", required=True, help="windows.parquet of the calibration draw")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", required=True, help="spectra.parquet: layer, index, eigenvalue")


def run(arguments):
    import torch

    from scalebound.curvature.input_moments import input_spectra
    from scalebound.models import files, loading

    torch.set_num_threads(arguments.threads)
    device = files.choose_device(parse(Scoring, {"device": arguments.device}, "--device").device)
    _, tokens, _ = windows.read(arguments.calibration)
    description = files.read_description(arguments.model)
    model, causality = loading.load_described(description, device, "float32", tokens.shape[1] - 1)
    spectra = input_spectra(model, tokens[:, :-1], arguments.model)
    made_of = identity(
        "moments",
        {"model": arguments.model, "calibration": arguments.calibration},
        {},
        packages=["torch", "transformers"],
        model_files=description["files"],
        device=files.device_name(device),
        dtype="float32",
        threads=arguments.threads,
        causality=causality,
    )
    write_parquet(arguments.out, _table(spectra), made_of)
    print(f"{len(spectra)} layers on {device.type}, inputs of {tokens[:, :-1].size} tokens")
    return [arguments.out]


def _table(spectra):
    """One row an eigenvalue, layers in the order of the model, the largest first; tiny negative ones are left as computed."""
    return pa.table(
        {
            "layer": pa.array([layer for layer, values in spectra.items() for _ in values], pa.string()),
            "index": pa.array(np.concatenate([np.arange(len(values)) for values in spectra.values()]), pa.int32()),
            "eigenvalue": pa.array(np.concatenate(list(spectra.values())), pa.float64()),
        }
    )
