"""What the online bound would be for compute-optimal models of published sizes under published laws, beside published bounds: online_law.csv, a prediction.

A law gives the regret of references that are annealed; the largest difference m, and how far a checkpoint in the middle of a longer run lies
above the law, are assumed (laws/online.py). Each assumption is a row of its own.
"""

import itertools
import re

import numpy as np
import pandas as pd

from scalebound.commands.stage import Many
from scalebound.configuration.studies import Extrapolation, Online
from scalebound.configuration.tab_separated import read_tab_separated
from scalebound.laws import online
from scalebound.laws.chinchilla import PUBLISHED
from scalebound.laws.published_models import read_models

GROUP = "studies"

INPUTS = {
    "models": "table of published models",
    "published": Many("tables of published bounds, if any: checkpoint, whose name ends in its size, train_loss, paper_bound, azuma_bound"),
}
OUTPUTS = {"out": "online_law.csv"}
PACKAGES = ["numpy", "pandas", "scipy"]

TOKENS_PER_PARAM = 20.0  # of the published bounds
SIZE = re.compile(r".*-([0-9.]+)([mb])")
VALUES = ("train_loss", "paper_bound", "azuma_bound")


class Settings(Extrapolation, Online):
    """What is carried over, and what no law gives."""


SETTINGS = Settings


def compute(inputs, settings):
    """online_law.csv: one row a model, law, mean m, excess and share of the stream; `published_gap` where a bound was published."""
    places, parts = _places(inputs), []
    for (name, law), largest, excess, start in itertools.product(PUBLISHED.items(), settings.largest_differences, settings.excesses, settings.starts):
        rows = online.predicted(law, places["n_params"], places["n_tokens"], settings.nominal_bits, largest, settings.alpha, excess=excess, start=start)
        rows = rows.assign(law=name, model=places["model"], excess=excess, start=start, published_gap=places["published_gap"], kind="prediction")
        parts.append(rows)
    table = pd.concat(parts)
    first = ["law", "model", "kind", "start", "excess", "largest"]
    return {"out": table[[*first, *(name for name in table if name not in first)]].to_csv(index=False, float_format="%.6g", lineterminator="\n")}


def _places(inputs):
    """Data frame {model, n_params, n_tokens, published_gap}: checkpoints with published bounds, then published models."""
    models = read_models(inputs["models"]).rename(columns={"name": "model"})[["model", "n_params", "n_tokens"]]
    parts = [models.assign(published_gap=np.nan)]
    for path in inputs["published"]:
        table = read_tab_separated(path, ("checkpoint", *VALUES), VALUES)
        sized = table[table["checkpoint"].map(lambda name: SIZE.fullmatch(name) is not None)]
        size = sized["checkpoint"].map(_parameters)
        rows = {
            "model": sized["checkpoint"],
            "n_params": size,
            "n_tokens": TOKENS_PER_PARAM * size,
            "published_gap": sized["paper_bound"] - sized["train_loss"],
        }
        parts.insert(0, pd.DataFrame(rows))
    return pd.concat(parts, ignore_index=True)


def _parameters(name):
    number, unit = SIZE.fullmatch(name).groups()
    return float(number) * {"m": 1e6, "b": 1e9}[unit]
