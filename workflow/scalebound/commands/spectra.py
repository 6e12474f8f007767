"""Collect the spectra of input second moments of a family, one row for each checkpoint and layer: spectra.csv."""

import numpy as np
import pandas as pd

from scalebound.artifacts.parquet import read_parquet
from scalebound.artifacts.provenance import read_json
from scalebound.commands.stage import Many
from scalebound.curvature import spectrum
from scalebound.curvature.layer_names import kind_and_block
from scalebound.errors import InputError

GROUP = "studies"

# percent of the way from the largest eigenvalue to the smallest
RANKS = tuple(range(0, 101, 5))


INPUTS = {"models": Many("resolved.json files"), "spectra": Many("spectra.parquet files of the same checkpoints, in the same order")}
OUTPUTS = {"out": "spectra.csv"}
SETTINGS = None
PACKAGES = ["pandas"]


def compute(inputs, _):
    models, spectra = inputs["models"], inputs["spectra"]
    if len(models) != len(spectra):
        raise InputError("--spectra", f"{len(spectra)} files for {len(models)} models", "Give one for each, in the same order")
    return {"out": spectra_text([(read_model(model), read_spectra(path)) for model, path in zip(models, spectra)])}


def read_model(path):
    """{checkpoint, n_params} of a description. Raises InputError when it lacks them."""
    described = read_json(path, "resolve", {"n_params": int, "checkpoint": dict})
    return {"checkpoint": described["checkpoint"]["slug"], "n_params": described["n_params"]}


def read_spectra(path):
    """{layer: clipped eigenvalues, descending, and how many of them rounding had made negative}.

    Raises:
        InputError: unreadable, or eigenvalues that are no second moment's.
    """
    table = read_parquet(path, "moments").to_pandas()
    if list(table.columns) != ["layer", "index", "eigenvalue"] or table["eigenvalue"].dtype != np.float64:
        raise InputError(path, f"columns {', '.join(table.columns)}", "Delete it and let snakemake make it again")
    layers = {}
    for layer, rows in table.groupby("layer", sort=False):
        if not np.array_equal(rows["index"], np.arange(len(rows))):
            raise InputError(path, f"eigenvalues of {layer} are not in order", "Delete it and let snakemake make it again")
        values = rows["eigenvalue"].to_numpy()
        layers[layer] = spectrum.clipped(values, f"{path}: {layer}"), int((values < 0).sum())
    return layers


def spectra_text(checkpoints):
    """spectra.csv as text, by size and then in the order of the layers, from pairs of `read_model` and `read_spectra`.

    `ratio` is tr(H^(1/2))^2 / (width tr H); `eigenvalue_p` the eigenvalue over the mean eigenvalue at p percent of the
    ranks. Cells of a layer whose inputs are all zero stay empty.
    """
    rows = [model | _row(layer, *found) for model, layers in checkpoints for layer, found in layers.items()]
    table = pd.DataFrame(rows).sort_values(["n_params", "checkpoint"], kind="stable")
    table["block"] = table["block"].astype("Int64")
    return table.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def _row(layer, values, negative):
    kind, block = kind_and_block(layer)
    curve = spectrum.relative_curve(values, np.array(RANKS) / 100)
    return {
        "layer": layer,
        "kind": kind,
        "block": block,
        "width": len(values),
        "trace": values.sum(),
        "ratio": spectrum.rounding_ratio(values),
        "effective_rank": spectrum.effective_rank(values),
        "largest_share": spectrum.largest_share(values),
        "null_directions": spectrum.null_directions(values),
        "clipped": negative,
        **{f"eigenvalue_{rank}": value for rank, value in zip(RANKS, curve)},
    }
