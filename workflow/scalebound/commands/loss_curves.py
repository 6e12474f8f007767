"""Loss along training of a family's models, with the information in nats up to each place: loss_curves.csv."""

import numpy as np
import pandas as pd

from scalebound.artifacts.family_tables import BOUNDS, TRAJECTORY, read_family_table
from scalebound.artifacts.parquet import read_parquet, write_text_table
from scalebound.artifacts.provenance import identity
from scalebound.commands.arguments import read_json_option
from scalebound.configuration.types import Model, Slug
from scalebound.laws import prequential

COLUMNS = ("line", "checkpoint", "status", "n_params", "vocab_size", "tokens", "loss", "information_nats")


class Row(Model):
    """A checkpoint of the family: the line (model) that it belongs to, and the run that recorded its loss curve, if one did."""

    slug: Slug
    line: str
    run: Slug | None


def add_arguments(parser):
    parser.add_argument(
        "--rows", required=True, metavar="JSON", help="the family's checkpoints: [{slug, line, run}]; run is null where no loss curve was recorded"
    )
    parser.add_argument("--bounds", required=True, help="bounds.csv of the family")
    parser.add_argument("--trajectory", required=True, help="trajectory.csv of the family")
    parser.add_argument("--losses", nargs="*", default=[], help="loss.parquet of the runs, in the order of their first row")
    parser.add_argument("--out", required=True, help="loss_curves.csv")
    parser.add_argument("--out-identity", required=True, help="identity of the table")


def run(arguments):
    rows = [row.model_dump() for row in read_json_option(arguments.rows, list[Row], "--rows")]
    inputs = {"bounds": arguments.bounds, "trajectory": arguments.trajectory}
    text = curves_text(rows, inputs, arguments.losses)
    made_of = identity("loss-curves", inputs | {path: path for path in arguments.losses}, {"rows": rows}, packages=["numpy", "pandas"])
    print(f"{text.count(chr(10)) - 1} places on the loss curves of {len(rows)} checkpoints in {arguments.out}")
    return write_text_table(arguments.out, arguments.out_identity, text, made_of)


def curves_text(rows, inputs, losses):
    """loss_curves.csv as text, from the files {bounds, trajectory}: rows by size, line and tokens.

    `loss` is the mean loss over all tokens up to the place of the model as it then was; `checkpoint` is empty where the place
    is none of the family's own. `status` says where the information comes from: `recorded` by the run, `points` of several
    released checkpoints of one model, or `single`, one checkpoint alone or a run of several epochs, which have a loss but no
    information (an empty cell).
    """
    own = read_family_table(inputs["bounds"], BOUNDS).drop_duplicates("checkpoint").set_index("checkpoint")
    along = read_family_table(inputs["trajectory"], TRAJECTORY)
    runs = list(dict.fromkeys(row["run"] for row in rows if row["run"]))
    recorded, parts = dict(zip(runs, losses, strict=True)), []
    for line in dict.fromkeys(row["line"] for row in rows):
        places = _places(line, along[along["line"] == line], own, rows)
        status, places["information_nats"] = _information(recorded.get(line), places)
        parts.append(places.assign(line=line, status=status))
    whole = pd.concat(parts).sort_values(["n_params", "line", "tokens"], kind="stable")
    return whole[list(COLUMNS)].to_csv(index=False, float_format="%.10g", lineterminator="\n")


def _places(line, along, own, rows):
    """The kept steps of a line and its checkpoints in the family, by tokens; the latter were scored on more windows and go first."""
    slugs = [row["slug"] for row in rows if row["line"] == line]
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
