"""The gap against tokens: measured, its exponent, and what the laws predict for published models: gap_law.csv, gap_exponents.csv."""

import pandas as pd

from scalebound.artifacts.family_tables import BOUNDS, CERTIFICATES, INFORMATION, LAWS, read_family_table
from scalebound.commands.scaling_law import FAMILY
from scalebound.commands.stage import Many
from scalebound.configuration.studies import Extrapolation
from scalebound.configuration.types import Slug
from scalebound.laws import carried_over
from scalebound.laws.gap import fit_power_law
from scalebound.laws.published_models import read_models

GROUP = "studies"

COLUMNS = ("series", "kind", "model", "n_params", "n_tokens", "tokens_per_param", "C", "sigma", "loss", *(f"term_{name}" for name in carried_over.TERMS), "gap")


INPUTS = {
    "bounds": "bounds.csv",
    "information": "information.csv",
    "laws": "scaling_law.csv",
    "models": "table of published models",
    "certificates": Many("certificates.csv, if the family has certificates"),
}
OUTPUTS = {"out": "gap_law.csv", "out_exponents": "gap_exponents.csv"}
PACKAGES = ["numpy", "pandas"]


class Settings(Extrapolation):
    """What is carried over, and the quantizer of the paper's recipe."""

    quantizer: Slug


SETTINGS = Settings


def compute(inputs, settings):
    """gap_law.csv and gap_exponents.csv.

    gap_law: gaps in nats per token above the training loss, `kind` measured (estimate or certificate, as `series` says) or
    predicted (a law carried over to a published model). gap_exponents: gap ~ D^-exponent of each measured series with the
    standard error, and beta / 2 of each law, which is what theory predicts for large D.
    """
    bounds = read_family_table(inputs["bounds"], BOUNDS)
    bounds = bounds[bounds["quantizer"] == settings.quantizer]
    laws = carried_over.laws_of(read_family_table(inputs["laws"], LAWS), FAMILY)
    measured = pd.concat([part for part in _measured(bounds, inputs) if len(part)])
    predicted = _predicted(laws, bounds, read_models(inputs["models"]), settings)
    points = pd.concat([measured, *predicted]).reindex(columns=COLUMNS)
    return {"out": _text(points), "out_exponents": _text(_exponents(measured, laws))}


def _measured(bounds, inputs):
    """One frame a series: the paper's bound, the direct bound with the real code length, with the information, the certificate."""
    yield _series(bounds, "the paper's bound (estimate)", bounds["paper_bound"] - bounds["train_loss"], bounds[["C", "sigma"]])
    yield _series(bounds, "direct bound (F), real code length (estimate)", bounds["freedman_bound_coded"] - bounds["train_loss"])
    found = read_family_table(inputs["information"], INFORMATION)
    ends = found[found["bound_information"].notna()].rename(columns={"tokens": "n_tokens", "loss": "train_loss"})
    yield _series(
        ends, "the paper's bound with the information as code length (estimate)", ends["bound_information"] - ends["train_loss"], ends[["C", "sigma"]]
    )
    for path in inputs["certificates"]:
        certified = read_family_table(path, CERTIFICATES)
        yield _series(certified, "certificate", certified["certificate"] - certified["train_loss"])


def _series(table, name, gap, more=None):
    rows = pd.DataFrame({"model": table["checkpoint"], "n_params": table["n_params"], "n_tokens": table["n_tokens"], "loss": table["train_loss"], "gap": gap})
    rows = rows.assign(series=name, kind="measured", tokens_per_param=rows["n_tokens"] / rows["n_params"])
    rows = rows if more is None else rows.join(more)
    return rows.sort_values(["n_tokens", "model"], kind="stable")


def _predicted(laws, bounds, models, settings):
    largest = bounds.loc[bounds["n_params"].idxmax()]
    for name, law in laws.items():
        sigma, v = carried_over.assumed(name == FAMILY, largest, models["n_params"], settings.published_vocab_size)
        c = carried_over.information_per_token(law, models["n_tokens"])
        rows = carried_over.predicted(law, c, models["n_params"], models["n_tokens"], sigma, v)
        yield rows.assign(series=f"information, {name}", kind="predicted", model=models["name"].to_numpy())


def _exponents(measured, laws):
    rows = []
    for name, part in measured.groupby("series", sort=False):
        positive = part[part["gap"] > 0]
        found = fit_power_law(positive["n_tokens"], positive["gap"])
        rows.append({"series": name, "kind": "measured", "points": len(positive)} | (found.__dict__ if found else {}))
    rows += [{"series": f"beta / 2, {name}", "kind": "predicted", "points": 0, "exponent": law.beta / 2} for name, law in laws.items()]
    return pd.DataFrame(rows).reindex(columns=["series", "kind", "points", "factor", "exponent", "error"])


def _text(table):
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
