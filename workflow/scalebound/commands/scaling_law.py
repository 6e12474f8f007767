"""Chinchilla's law fitted to the family's own points (N, D, loss), beside published constants: scaling_law.csv."""

import pandas as pd

from scalebound.artifacts.family_tables import LOSS_CURVES, read_family_table
from scalebound.artifacts.parquet import write_text_table
from scalebound.artifacts.provenance import identity
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.configuration.studies import Information
from scalebound.laws import chinchilla

FAMILY = "this family"


def add_arguments(parser):
    add_settings(parser, Information)
    parser.add_argument("--curves", required=True, help="loss_curves.csv")
    parser.add_argument("--out", required=True, help="scaling_law.csv")
    parser.add_argument("--out-identity", required=True, help="identity of the table")


def run(arguments):
    settings = read_settings(arguments, Information)
    text = law_text(read_family_table(arguments.curves, LOSS_CURVES), settings)
    if FAMILY not in text:
        print("notice: too few points of too few sizes for a fit; only published constants are listed")
    made_of = identity("scaling-law", {"curves": arguments.curves}, settings.model_dump(), packages=["numpy", "pandas", "scipy"])
    return write_text_table(arguments.out, arguments.out_identity, text, made_of)


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
