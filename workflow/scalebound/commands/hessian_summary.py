"""Collect what a family's Hessians say, one row for each checkpoint: hessian.csv."""

import numpy as np
import pandas as pd

from scalebound.artifacts.hessian import read_hessian
from scalebound.commands.stage import Many
from scalebound.curvature.quadrature import integral, mean_and_error

GROUP = "studies"

# curvature in nats per squared unit of weight; much smaller, and nodes near zero, which are far apart, would decide the dimension
SOFT = 0.1
COLUMNS = (
    *("checkpoint", "n_params", "status", "probes", "steps", "loss", "gradient_norm", "trace", "trace_error", "mean_eigenvalue", "root_mean_square"),
    *("top_eigenvalue", "top_residual", "bottom_eigenvalue", "bottom_residual", "negative_share", "negative_share_error"),
    *("negative_trace_share", "negative_trace_share_error", "effective_dimension", "effective_dimension_error", "effective_dimension_share"),
)


INPUTS = {"hessians": Many("hessian.json files")}
OUTPUTS = {"out": "hessian.csv"}
SETTINGS = None
PACKAGES = ["pandas"]


def compute(inputs, _):
    return {"out": summary_text(map(read_hessian, inputs["hessians"]))}


def summary_text(contents):
    """hessian.csv as text, by size, from `read_hessian` contents. Cells of a skipped checkpoint stay empty, its status says why."""
    rows = [{key: content[key] for key in ("checkpoint", "n_params", "status", "loss", "gradient_norm")} | _numbers(content) for content in contents]
    table = pd.DataFrame(rows, columns=COLUMNS).sort_values(["n_params", "checkpoint"], kind="stable")
    table["steps"] = table["steps"].astype("Int64")
    return table.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def _numbers(content):
    """Estimates of the spectrum: means over probes with standard errors, and the outermost Ritz values with their residuals.

    `negative_share`: of the eigenvalues, ill resolved where most lie near zero, since one node stands for them all and falls on
    either side; `negative_trace_share`: of the sum of their absolute values; `effective_dimension`: the sum of l / (l + SOFT)
    over positive eigenvalues l.
    """
    probes, size = content["probes"], content["n_params"]
    if not probes:
        return {"probes": 0}
    rules = [(probe["nodes"], probe["weights"]) for probe in probes]
    mean, error = integral(rules, lambda x: x)
    negative, negative_error = integral(rules, lambda x: x < 0)
    below, below_error = mean_and_error([float((w * np.maximum(-x, 0)).sum() / (w * np.abs(x)).sum()) for x, w in rules])
    dimension, dimension_error = integral(rules, lambda x: np.maximum(x, 0) / (np.maximum(x, 0) + SOFT))
    top, bottom = max(probes, key=lambda p: p["nodes"][-1]), min(probes, key=lambda p: p["nodes"][0])
    return {
        "probes": len(probes),
        "steps": max(len(probe["nodes"]) for probe in probes),
        "trace": size * mean,
        "trace_error": size * error,
        "mean_eigenvalue": mean,
        "root_mean_square": np.sqrt(integral(rules, np.square)[0]),
        "top_eigenvalue": top["nodes"][-1],
        "top_residual": top["residuals"][-1],
        "bottom_eigenvalue": bottom["nodes"][0],
        "bottom_residual": bottom["residuals"][0],
        "negative_share": negative,
        "negative_share_error": negative_error,
        "negative_trace_share": below,
        "negative_trace_share_error": below_error,
        "effective_dimension": size * dimension,
        "effective_dimension_error": size * dimension_error,
        "effective_dimension_share": dimension,
    }
