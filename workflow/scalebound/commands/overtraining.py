"""The bound's terms over (N, D) under the laws, with published models marked: overtraining.csv, an extrapolation."""

import numpy as np
import pandas as pd

from scalebound.artifacts.family_tables import BOUNDS, LAWS, read_family_table
from scalebound.commands.scaling_law import FAMILY
from scalebound.configuration.studies import Extrapolation
from scalebound.configuration.types import Slug
from scalebound.laws import carried_over
from scalebound.laws.published_models import read_models

GROUP = "studies"

INPUTS = {"bounds": "bounds.csv", "laws": "scaling_law.csv", "models": "table of published models"}
OUTPUTS = {"out": "overtraining.csv"}
PACKAGES = ["numpy", "pandas"]


class Settings(Extrapolation):
    """What is carried over, and the quantizer of the paper's recipe."""

    quantizer: Slug


SETTINGS = Settings


def compute(inputs, settings):
    """overtraining.csv: for each law and code length a grid (`model` empty) and the published models.

    `code` says what stands for the code length: `nominal`, so many bits for every parameter, as in the paper's recipe, where
    C falls as N / D; or `information`, the prequential estimate, where C falls as D^-beta whatever N is. Quantization is
    taken to add no loss, which flatters the nominal code of models that were trained on very many tokens a parameter.
    """
    bounds = read_family_table(inputs["bounds"], BOUNDS)
    bounds = bounds[bounds["quantizer"] == settings.quantizer]
    largest, models = bounds.loc[bounds["n_params"].idxmax()], read_models(inputs["models"])
    ratios = np.geomspace(settings.least_tokens_per_param, settings.most_tokens_per_param, settings.steps)
    size, ratio = (part.ravel() for part in np.meshgrid(settings.sizes, ratios, indexing="ij"))
    grid = pd.DataFrame({"name": "", "n_params": size, "n_tokens": size * ratio})
    places, parts = pd.concat([grid, models[["name", "n_params", "n_tokens"]]], ignore_index=True), []
    for name, law in carried_over.laws_of(read_family_table(inputs["laws"], LAWS), FAMILY).items():
        sigma, v = carried_over.assumed(name == FAMILY, largest, places["n_params"], settings.published_vocab_size)
        codes = {
            "nominal": carried_over.nominal_per_token(settings.nominal_bits, places["n_params"], places["n_tokens"]),
            "information": carried_over.information_per_token(law, places["n_tokens"]),
        }
        for code, c in codes.items():
            rows = carried_over.predicted(law, c, places["n_params"], places["n_tokens"], sigma, v)
            parts.append(rows.assign(law=name, code=code, model=places["name"]))
    table = pd.concat(parts)
    first = ["law", "code", "model"]
    return {"out": table[[*first, *(name for name in table if name not in first)]].to_csv(index=False, float_format="%.6g", lineterminator="\n")}
