"""Collect a family's certificates, with the way from the paper's recipe to each: certificates.csv."""

import pandas as pd

from scalebound.artifacts.certificate import read_certificate
from scalebound.artifacts.family_tables import ONLINE_TERMS, RECIPE_SHARE
from scalebound.artifacts.provenance import read_json
from scalebound.commands.stage import Many
from scalebound.commands.table import column_part, read_bounds
from scalebound.configuration.types import Model, Slug
from scalebound.errors import InputError

GROUP = "bounds and certificates"

INPUTS = {
    "certificates": Many("certificate.json files"),
    "bounds": Many("bounds.json files of the same checkpoints"),
    "true_risks": Many("true_risk.json files, of checkpoints on oracle streams"),
}
OUTPUTS = {"out": "certificates.csv"}
PACKAGES = ["pandas"]


class Settings(Model):
    """The quantizer of the paper's recipe, and one to show on the way from it to the certificate, if any."""

    paper_quantizer: Slug
    untuned: Slug | None = None


SETTINGS = Settings


def compute(inputs, settings):
    certificates, risks = [read_certificate(path) for path in inputs["certificates"]], [read_json(path, "true-risk") for path in inputs["true_risks"]]
    return {"out": certificates_text(certificates, map(read_bounds, inputs["bounds"]), settings.paper_quantizer, risks, settings.untuned)}


def certificates_text(certificates, bounds, paper_quantizer, risks=(), untuned=None):
    """certificates.csv as text, one row a checkpoint, by size, from certificate.json contents and lines of bounds.csv.

    `paper_recipe` and `gap_ratio` are empty where GPTQ left more than a tenth of what layers multiply with to plain rounding.

    `true_risk`, of what is certified, and `trained_risk`, of the model as trained, are known only where an oracle made the
    stream: from the contents of the true_risk.json files, `risks`.
    """
    found = {(line["checkpoint"], line["quantizer"]): line for line in bounds}
    known = {risk["checkpoint"]["slug"]: risk for risk in risks}
    rows = [_row(certificate, found, paper_quantizer, untuned) | _risks(certificate, known) for certificate in certificates]
    table = pd.DataFrame(rows).sort_values(["n_params", "n_tokens", "checkpoint"], kind="stable")
    return table.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def _row(certificate, bounds, paper_quantizer, untuned):
    slug, certified = certificate["checkpoint"]["slug"], certificate["quantizer"]
    try:
        paper, own = bounds[slug, paper_quantizer], bounds[slug, certified]
        rate_chosen = bounds[slug, untuned]["geometric_bound_coded"] if untuned else None
    except KeyError as error:
        raise InputError("certificates", f"no bounds of {error}", "Run these quantizers for every checkpoint") from None
    loss, value = own["train_loss"], certificate["value"]
    recipe = paper["freedman_bound"] if paper["gptq_share"] >= RECIPE_SHARE else None
    return {
        "checkpoint": slug,
        "sampling": certificate["sampling"],
        "n_params": own["n_params"],
        "n_tokens": own["n_tokens"],
        "quantizer": certified,
        "train_loss": loss,
        # the paper's recipe, then one change after the other
        "paper_recipe": recipe,
        "real_code_length": paper["freedman_bound_coded"],
        "geometric": paper["geometric_bound_coded"],
        "rate_chosen": rate_chosen,
        "tuned": own["geometric_bound_coded"],
        "estimate": certificate["estimate"]["best"]["value"],
        "certificate": value,
        "method": certificate["settings"]["method"],
        "gap_ratio": None if recipe is None else (value - loss) / (recipe - loss),
        **_beside(certificate, own, None if recipe is None else recipe - loss),
        "coded_bits_per_param": certificate["coded_bits_per_param"],
        "share_of_training": certificate["share_of_training"],
        "decoded_loss": certificate["terms"]["loss"],
        "windows": certificate["windows"]["pilot"] + certificate["windows"]["rest"],
        **_online(certificate),
        **{name: own[name] for name in ("heldout_loss", "heldout_bound")},
        "failure_probability": certificate["settings"]["stream_failure_probability"] + certificate["settings"]["draw_failure_probability"],
    }


def _beside(certificate, own, recipe_gap):
    """What stands beside the certificate: what it would be without references, and that of later parts, above the loss there."""
    found = {"without_references": None}
    for other in certificate["also"]:
        if other["settings"]["method"] != certificate["settings"]["method"]:
            found["without_references"] = other["value"]
            continue
        part = column_part(other["from"])
        loss = own[f"train_loss_{part}"]
        found |= {f"train_loss_{part}": loss, f"certificate_{part}": other["value"], f"C_{part}": other["C"]}
        found[f"gap_ratio_{part}"] = None if recipe_gap is None or loss is None else (other["value"] - loss) / recipe_gap
    return found


def _online(certificate):
    """The terms of (D), of the rest of the draw at the chosen point; empty for a certificate without references."""
    halves = certificate.get("halves") or dict.fromkeys(ONLINE_TERMS)
    return {"C": certificate["C"]} | {name: halves[name] for name in ONLINE_TERMS}


def _risks(certificate, known):
    """The columns of the truth; a risk of another certificate would be compared with the wrong number."""
    risk = known.get(certificate["checkpoint"]["slug"])
    if risk is None:
        return {"true_risk": None, "trained_risk": None}
    if (risk["certificate"], risk["alpha"]) != (certificate["value"], certificate["choice"]["point"]["alpha"]):
        raise InputError("true risk", f"computed for a certificate of {risk['certificate']}, this one is {certificate['value']}", "Run snakemake again")
    return {"true_risk": risk["value"], "trained_risk": risk["means"]["trained_risk"]}
