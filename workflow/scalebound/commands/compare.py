"""Put a family's bounds beside published ones of the same checkpoints: comparison.csv."""

import numpy as np

from scalebound.artifacts.family_tables import RECIPE_SHARE, read_family_table
from scalebound.configuration.tab_separated import read_tab_separated
from scalebound.configuration.types import Model, Slug
from scalebound.errors import InputError

GROUP = "bounds and certificates"

QUANTITIES = ("train_loss", "paper_bound", "azuma_bound")
PUBLISHED = ["checkpoint", *QUANTITIES]


INPUTS = {"table": "bounds.csv of the family", "published": "tab-separated: checkpoint, train_loss, paper_bound, azuma_bound"}
OUTPUTS = {"out": "comparison.csv"}
PACKAGES = ["pandas"]


class Settings(Model):
    """The quantizer whose rows are compared."""

    quantizer: Slug


SETTINGS = Settings


def compute(inputs, settings):
    return {"out": comparison_text(read_family_table(inputs["table"]), read_published(inputs["published"]), settings.quantizer)}


def read_published(path):
    """Published values, one row a checkpoint. Raises InputError when a column is missing or a value no number."""
    table = read_tab_separated(path, PUBLISHED, QUANTITIES)
    if table["checkpoint"].duplicated().any():
        raise InputError(path, "a checkpoint occurs twice", "Correct the table")
    return table


def comparison_text(bounds, published, quantizer):
    """comparison.csv as text: every published checkpoint and every one of ours, in the order of size.

    `status` is `compared`, `missing` (published, not run), `not published`, or `other recipe`: bounds of a model that GPTQ
    rounded only a part of are not the published ones again, and stay away. Cells of what is not there stay empty.
    """
    ours = bounds[bounds["quantizer"] == quantizer].sort_values("n_params", kind="stable")
    other = ours["gptq_share"] < RECIPE_SHARE
    ours.loc[other, ["paper_bound", "azuma_bound"]] = np.nan
    ours = ours[["checkpoint", "n_params", "n_tokens", "sampling", *QUANTITIES]]
    merged = published.merge(ours, on="checkpoint", how="outer", suffixes=("_published", ""), indicator=True, sort=False)
    merged["status"] = merged.pop("_merge").map({"both": "compared", "left_only": "missing", "right_only": "not published"}).astype(str)
    merged.loc[merged["checkpoint"].isin(ours.loc[other, "checkpoint"]), "status"] = "other recipe"
    for name in QUANTITIES:
        merged[f"{name}_difference"] = merged[name] - merged[f"{name}_published"]
    merged[["n_params", "n_tokens"]] = merged[["n_params", "n_tokens"]].astype("Int64")
    order = [*published["checkpoint"], *(name for name in ours["checkpoint"] if name not in set(published["checkpoint"]))]
    merged = merged.set_index("checkpoint").loc[order].reset_index()
    columns = [f"{name}{suffix}" for name in QUANTITIES for suffix in ("_published", "", "_difference")]
    return merged[["checkpoint", "status", "n_params", "n_tokens", "sampling", *columns]].to_csv(index=False, float_format="%.10g", lineterminator="\n")
