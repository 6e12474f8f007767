"""Information content against tokens, and what bounds would be if it were a code length: information.csv, an estimate."""

import numpy as np
import pandas as pd

from scalebound.artifacts.family_tables import LAWS, LOSS_CURVES, read_family_table
from scalebound.artifacts.scores import read_scores, standard_error
from scalebound.bounds.evaluation import Problem, evaluate
from scalebound.bounds.token_scores import TokenScores
from scalebound.commands.scaling_law import FAMILY
from scalebound.commands.stage import Many
from scalebound.configuration.config import Bound
from scalebound.configuration.types import Slug
from scalebound.errors import InputError
from scalebound.laws import chinchilla

GROUP = "studies"

BOUNDS = {"paper": "bound_information", "freedman": "freedman_information", "geometric": "geometric_information", "azuma": "azuma_information"}


INPUTS = {
    "curves": "loss_curves.csv",
    "laws": "scaling_law.csv",
    "scores": Many("scores.parquet of the unquantized models, in the order of the settings' checkpoints"),
}
OUTPUTS = {"out": "information.csv"}
PACKAGES = ["numpy", "pandas"]


class Settings(Bound):
    checkpoints: list[Slug]


SETTINGS = Settings


def compute(inputs, settings):
    if len(settings.checkpoints) != len(inputs["scores"]):
        raise InputError("--scores", f"{len(inputs['scores'])} files for {len(settings.checkpoints)} checkpoints", "Give one for each")
    return {"out": information_text(inputs["curves"], inputs["laws"], dict(zip(settings.checkpoints, inputs["scores"])), settings)}


def information_text(curves, laws, scores, settings):
    """information.csv as text: the places of loss_curves.csv, with bits per parameter and per token and the law's values.

    At the places of the family's own checkpoints, `*_information` are bounds (nats) with the information as the code length and no
    loss by quantization: what the bound would be if that many bits named the model. No message of that length is known.
    """
    table, law = read_family_table(curves, LOSS_CURVES), _family_law(read_family_table(laws, LAWS))
    bits = table["information_nats"] / np.log(2)
    table["tokens_per_param"] = table["tokens"] / table["n_params"]
    table["bits_per_param"], table["bits_per_token"] = bits / table["n_params"], bits / table["tokens"]
    table["law_loss"] = law.loss(table["n_params"], table["tokens"]) if law else np.nan
    table["law_information_nats"] = law.information(table["tokens"]) if law and law.beta < 1 else np.nan
    table["kind"] = "estimate"
    own = table.index[table["checkpoint"].notna()]
    found = pd.DataFrame({place: _bounds(scores[table.at[place, "checkpoint"]], table.loc[place], settings) for place in own}).T
    return table.join(found).to_csv(index=False, float_format="%.10g", lineterminator="\n")


def _family_law(laws):
    rows = laws[laws["law"] == FAMILY]
    return chinchilla.Law(**{name: float(rows.iloc[0][name]) for name in chinchilla.CONSTANTS}) if len(rows) else None


def _bounds(path, place, settings):
    """{column: value} of one checkpoint; empty cells where nothing is known of its information, or noise makes it negative.

    `information_error` is its standard error in nats: that of the mean loss over the windows drawn, times the tokens.
    """
    nll, entropy, _ = read_scores(path)
    error = {"information_error": place["tokens"] * standard_error(nll) if len(nll) > 1 else np.nan}
    if not place["information_nats"] > 0:
        return error | dict.fromkeys(["C", "sigma", *BOUNDS.values()], np.nan)
    problem = Problem(TokenScores(nll, entropy, int(place["vocab_size"])), float(nll.mean()), int(place["tokens"]))
    found = evaluate(problem, float(place["information_nats"]) / np.log(2), settings)
    return error | {"C": found["paper"]["C"], "sigma": found["paper"]["sigma"]} | {column: found[name]["bound"] for name, column in BOUNDS.items()}
