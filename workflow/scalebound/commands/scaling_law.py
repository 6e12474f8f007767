"""Chinchilla's law fitted to the family's own points (N, D, loss), beside published constants: scaling_law.csv."""

import pandas as pd

from scalebound.artifacts.family_tables import LOSS_CURVES, read_family_table
from scalebound.configuration.studies import Information
from scalebound.laws import chinchilla

GROUP = "studies"

FAMILY = "this family"


INPUTS = {"curves": "loss_curves.csv"}
OUTPUTS = {"out": "scaling_law.csv"}
SETTINGS = Information
PACKAGES = ["numpy", "pandas", "scipy"]
TOLERANCE = 1e-2  # relative: optimizers end elsewhere in the same flat valley on another machine


def compute(inputs, settings):
    return {"out": law_text(read_family_table(inputs["curves"], LOSS_CURVES), settings)}


def said(made):
    return "laws fitted and published" if FAMILY in made["out"] else "notice: too few points of too few sizes for a fit; only published constants are listed"


def law_text(curves, settings):
    """scaling_law.csv as text: one row a law, constants in nats per token, intervals where they were fitted."""
    rows, points = [], fitted_points(curves, settings.fit_from)
    if len(points) >= 2 * len(chinchilla.CONSTANTS) and points["n_params"].nunique() > 1:
        rows.append(_fitted(points, settings))
    rows += [{"law": name, **law.__dict__} for name, law in chinchilla.PUBLISHED.items()]
    columns = ["law", *chinchilla.CONSTANTS, *(f"{name}_{end}" for name in chinchilla.CONSTANTS for end in ("low", "high")), "points", "objective", "at_edge"]
    table = pd.DataFrame(rows).reindex(columns=columns)
    table["points"] = table["points"].astype("Int64")
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def fitted_points(curves, fit_from):
    """The places that the law is fitted to: those from `fit_from` tokens per parameter on."""
    return curves[curves["tokens"] >= fit_from * curves["n_params"]]


def _fitted(points, settings):
    found = chinchilla.fit(points["n_params"], points["tokens"], points["loss"], points["line"], settings.bootstrap, settings.seed)
    ends = {f"{name}_{end}": value for name, pair in found.intervals.items() for end, value in zip(("low", "high"), pair)}
    return {"law": FAMILY, **found.law.__dict__, **ends, "points": len(points), "objective": found.objective, "at_edge": found.at_edge}
