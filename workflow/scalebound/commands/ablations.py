"""Collect the ablations of a family's checkpoints: ablations.csv."""

import pandas as pd

from scalebound.artifacts.provenance import read_json
from scalebound.commands.stage import Many
from scalebound.errors import InputError

GROUP = "studies"

COLUMNS = ("checkpoint", "n_params", "ablation", "setting", "x", "bound", "gap", "low", "high", "C", "train_loss")


INPUTS = {"ablations": Many("ablations.json files")}
OUTPUTS = {"out": "ablations.csv"}
SETTINGS = None
PACKAGES = ["pandas"]


def compute(inputs, _):
    return {"out": ablations_text(inputs["ablations"])}


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
