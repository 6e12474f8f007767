"""Spread of losses, code lengths and certificates over models of one size and as many tokens: seeds.csv."""

import pandas as pd

from scalebound.artifacts.family_tables import BOUNDS, CERTIFICATES, read_family_table
from scalebound.commands.stage import Many
from scalebound.configuration.types import Model, Slug

GROUP = "studies"

INPUTS = {"bounds": "bounds.csv of the family", "certificates": Many("certificates.csv, where the family has one")}
OUTPUTS = {"out": "seeds.csv"}
PACKAGES = ["pandas"]

OF_BOUNDS = ("train_loss", "heldout_loss", "sigma", "paper_bound", "azuma_bound")
OF_CERTIFICATES = ("coded_bits_per_param", "paper_recipe", "without_references", "certificate", "gap", "gap_ratio")


class Settings(Model):
    """The quantizer whose bounds are taken."""

    quantizer: Slug


SETTINGS = Settings


def compute(inputs, settings):
    bounds = read_family_table(inputs["bounds"], BOUNDS)
    parts = [_spreads(bounds[bounds["quantizer"] == settings.quantizer], OF_BOUNDS)]
    for path in inputs["certificates"]:
        certified = read_family_table(path, CERTIFICATES)
        parts.append(_spreads(certified.assign(gap=certified["certificate"] - certified["train_loss"]), OF_CERTIFICATES))
    table = pd.concat(parts).sort_values(["n_params", "n_tokens"], kind="stable")
    return {"out": table.to_csv(index=False, float_format="%.10g", lineterminator="\n")}


def _spreads(table, columns):
    """One row for each size and quantity: mean, standard deviation (ddof 1), least and largest over its `models`; empty where a model lacks it."""
    found = []
    for (size, tokens), rows in table.groupby(["n_params", "n_tokens"]):
        for name in columns:
            values, known = rows[name], rows[name].notna().all()
            spread = {"mean": values.mean(), "deviation": values.std(), "least": values.min(), "largest": values.max()} if known else {}
            found.append({"n_params": size, "n_tokens": tokens, "models": len(rows), "quantity": name, **spread})
    return pd.DataFrame(found, columns=["n_params", "n_tokens", "models", "quantity", "mean", "deviation", "least", "largest"])
