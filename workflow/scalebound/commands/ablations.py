"""Collect the ablations of a family's checkpoints: ablations.csv."""

import pandas as pd

from scalebound.artifacts.parquet import write_text_table
from scalebound.artifacts.provenance import identity, read_json
from scalebound.errors import InputError

COLUMNS = ("checkpoint", "n_params", "ablation", "setting", "x", "bound", "gap", "low", "high", "C", "train_loss")


def add_arguments(parser):
    parser.add_argument("--ablations", required=True, nargs="+", help="ablations.json files")
    parser.add_argument("--out", required=True, help="ablations.csv")
    parser.add_argument("--out-identity", required=True, help="identity of the table")


def run(arguments):
    text = ablations_text(arguments.ablations)
    made_of = identity("ablations", {path: path for path in arguments.ablations}, {}, packages=["pandas"])
    return write_text_table(arguments.out, arguments.out_identity, text, made_of)


def ablations_text(paths):
    """ablations.csv as text: by size, each checkpoint's rows in their order; `gap` is the bound above the training loss, in nats."""
    rows = [row for path in paths for row in _rows(path)]
    table = pd.DataFrame(rows).sort_values(["n_params", "checkpoint"], kind="stable")
    table["gap"] = table["bound"] - table["train_loss"]
    return table[list(COLUMNS)].to_csv(index=False, float_format="%.10g", lineterminator="\n")


def _rows(path):
    content = read_json(path, "ablate", {"rows": list})
    if not all(isinstance(row, dict) and set(COLUMNS) - {"gap"} <= set(row) for row in content["rows"]):
        raise InputError(path, "rows without the columns of an ablation", "Delete it and let snakemake make it again")
    return content["rows"]
