"""Collect the spectra of input second moments of a family, one row for each checkpoint and layer: spectra.csv."""

import numpy as np
import pandas as pd

from scalebound.artifacts.parquet import read_parquet, write_text_table
from scalebound.artifacts.provenance import identity, read_json
from scalebound.curvature import spectrum
from scalebound.curvature.layer_names import kind_and_block
from scalebound.errors import InputError

# percent of the way from the largest eigenvalue to the smallest
RANKS = tuple(range(0, 101, 5))


def add_arguments(parser):
    parser.add_argument("--models", required=True, nargs="+", help="resolved.json files")
    parser.add_argument("--spectra", required=True, nargs="+", help="spectra.parquet files of the same checkpoints, in the same order")
    parser.add_argument("--out", required=True, help="spectra.csv")
    parser.add_argument("--out-identity", required=True, help="identity of the table")


def run(arguments):
    if len(arguments.models) != len(arguments.spectra):
        raise InputError("--spectra", f"{len(arguments.spectra)} files for {len(arguments.models)} models", "Give one for each, in the same order")
    text = spectra_text([(read_model(model), read_spectra(path)) for model, path in zip(arguments.models, arguments.spectra)])
    made_of = identity("spectra", {path: path for path in (*arguments.models, *arguments.spectra)}, {}, packages=["pandas"])
    print(f"{text.count(chr(10)) - 1} layers of {len(arguments.spectra)} checkpoints in {arguments.out}")
    return write_text_table(arguments.out, arguments.out_identity, text, made_of)


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
