"""Loss along training of a family's models, with the information in nats up to each place: loss_curves.csv."""

import numpy as np
import pandas as pd

from scalebound.artifacts.family_tables import BOUNDS, TRAJECTORY, read_family_table
from scalebound.artifacts.parquet import read_parquet
from scalebound.commands.stage import Many
from scalebound.configuration.types import Model, Slug
from scalebound.errors import InputError
from scalebound.laws import prequential

GROUP = "studies"

COLUMNS = ("line", "checkpoint", "status", "n_params", "vocab_size", "tokens", "loss", "information_nats")


INPUTS = {
    "bounds": "bounds.csv of the family",
    "trajectory": "trajectory.csv of the family",
    "losses": Many("loss.parquet of the runs that recorded one, in the order of the settings"),
}
OUTPUTS = {"out": "loss_curves.csv"}
PACKAGES = ["numpy", "pandas"]


class Settings(Model):
    """The checkpoints of each line, which is a training run or a repository, and the runs whose loss was recorded."""

    lines: dict[str, list[Slug]]
    recorded: list[Slug]


SETTINGS = Settings


def compute(inputs, settings):
    """loss_curves.csv: rows by size, line and tokens.

    `loss` is the mean loss over all tokens up to the place of the model as it then was; `checkpoint` is empty where the place
    is none of the family's own. `status` says where the information comes from: `recorded` by the run, `points` of several
    released checkpoints of one model, or `single`, one checkpoint alone or a run of several epochs, which have a loss but no
    information (an empty cell).
    """
    own = read_family_table(inputs["bounds"], BOUNDS).drop_duplicates("checkpoint").set_index("checkpoint")
    along = read_family_table(inputs["trajectory"], TRAJECTORY)
    if len(settings.recorded) != len(inputs["losses"]):
        raise InputError("--losses", f"{len(inputs['losses'])} files for {len(settings.recorded)} runs", "Give one for each")
    recorded, parts = dict(zip(settings.recorded, inputs["losses"])), []
    for line, slugs in settings.lines.items():
        places = _places(slugs, along[along["line"] == line], own)
        status, places["information_nats"] = _information(recorded.get(line), places)
        parts.append(places.assign(line=line, status=status))
    whole = pd.concat(parts).sort_values(["n_params", "line", "tokens"], kind="stable")
    return {"out": whole[list(COLUMNS)].to_csv(index=False, float_format="%.10g", lineterminator="\n")}


def _places(slugs, along, own):
    """The kept steps of a line and its checkpoints in the family, by tokens; the latter were scored on more windows and go first."""
    mine = own.loc[slugs].rename(columns={"n_tokens": "tokens", "train_loss": "loss"}).reset_index()
    others = along.rename(columns={"n_tokens": "tokens", "train_loss": "loss"}).assign(checkpoint="")
    names = ["checkpoint", "n_params", "vocab_size", "tokens", "loss"]
    places = pd.concat([mine[names], others[names]]).drop_duplicates("tokens", keep="first")
    return places.sort_values("tokens", kind="stable").reset_index(drop=True)


def _information(recorded, places):
    """(status, K in nats [places]) of one line."""
    tokens, losses = places["tokens"].to_numpy(), places["loss"].to_numpy()
    if recorded is not None:
        steps = read_parquet(recorded, "train", ["tokens_seen", "loss"])
        seen, paid = (steps[name].to_numpy() for name in ("tokens_seen", "loss"))
        if (np.diff(seen) > 0).all():
            return "recorded", prequential.recorded(seen, paid, tokens, losses)
    elif len(places) > 1:
        return "points", prequential.through_points(tokens, losses, np.log(places["vocab_size"].iloc[0]))
    return "single", np.full(len(places), np.nan)
