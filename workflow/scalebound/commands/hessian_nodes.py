"""Collect nodes and weights of a family's Hessians, one row for each checkpoint, probe and node: hessian_nodes.csv."""

import pandas as pd

from scalebound.artifacts.hessian import read_hessian
from scalebound.commands.stage import Many

GROUP = "studies"

INPUTS = {"hessians": Many("hessian.json files")}
OUTPUTS = {"out": "hessian_nodes.csv"}
SETTINGS = None
PACKAGES = ["pandas"]


def compute(inputs, _):
    return {"out": nodes_text(map(read_hessian, inputs["hessians"]))}


def nodes_text(contents):
    """hessian_nodes.csv as text, by size, from `read_hessian` contents; a skipped checkpoint has one row without numbers."""
    rows = [row for content in sorted(contents, key=lambda c: (c["n_params"], c["checkpoint"])) for row in _rows(content)]
    table = pd.DataFrame(rows, columns=["checkpoint", "n_params", "status", "probe", "node", "weight"])
    table["probe"] = table["probe"].astype("Int64")
    return table.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def _rows(content):
    common = {key: content[key] for key in ("checkpoint", "n_params", "status")}
    pairs = [(k, node, weight) for k, probe in enumerate(content["probes"]) for node, weight in zip(probe["nodes"], probe["weights"])]
    return [common | {"probe": k, "node": node, "weight": weight} for k, node, weight in pairs] or [common]
