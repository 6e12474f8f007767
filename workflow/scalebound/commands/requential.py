"""Collect a family's students: what their codes take, what they predict, and their bounds beside those of coded models: requential.csv."""

import pandas as pd

from scalebound.artifacts.provenance import read_json
from scalebound.artifacts.scores import read_scores
from scalebound.commands.stage import Many
from scalebound.commands.table import read_bounds
from scalebound.configuration.types import Model, Slug
from scalebound.errors import InputError
from scalebound.requential.lengths import quantizer_of

GROUP = "studies"

INPUTS = {
    "codes": Many("code.json files of students"),
    "scores": Many("scores.parquet of each of these, in the same order, on windows of the stream"),
    "bounds": Many("bounds.json files of students whose length is that of a code"),
    "beside": Many("bounds.json files of the same checkpoints by the two quantizers of the settings"),
}
OUTPUTS = {"out": "requential.csv"}
PACKAGES = ["pandas"]
NEEDS = {
    **dict.fromkeys(("divergence_bits_per_param", "formula_bits_per_param", "coded_bits_per_param", "divergence_bits"), float),
    **{"source": str, "sent": bool, "steps": int, "n_params": int},
}
_BOUNDS = ("paper", "geometric", "online")


class Settings(Model):
    """The checkpoints of the codes, in their order; the paper's quantizer, and the one whose coded model stands beside each student."""

    checkpoints: list[Slug]
    paper_quantizer: Slug
    quantizer: Slug


SETTINGS = Settings


def compute(inputs, settings):
    if not inputs["codes"]:
        raise InputError("--codes", "no student", "Ask for this study where a family has models that the workflow trains in one pass, with `references`")
    lines = {(line["checkpoint"], line["quantizer"]): line for path in (*inputs["beside"], *inputs["bounds"]) for line in [read_bounds(path)]}
    made = zip(settings.checkpoints, inputs["codes"], inputs["scores"], strict=True)
    table = pd.DataFrame([_row(slug, code, scores, lines, settings) for slug, code, scores in made])
    table = table.sort_values(["n_params", "n_tokens", "checkpoint", "source"], kind="stable")
    return {"out": table.to_csv(index=False, float_format="%.10g", lineterminator="\n")}


def _row(slug, path, scores, lines, settings):
    code = read_json(path, "student", NEEDS)
    try:
        coded, paper = lines[slug, settings.quantizer], lines[slug, settings.paper_quantizer]
        own = None if code["source"] == "stream" else lines[slug, quantizer_of(code["source"])]
    except KeyError as error:
        raise InputError(path, f"no bounds of {error}", "Give those of each checkpoint and student") from None
    return {
        "checkpoint": slug,
        "kind": "estimate",
        "source": code["source"],
        **{key: coded[key] for key in ("n_params", "n_tokens", "vocab_size", "train_loss")},
        "steps": code["steps"],
        "student_loss": float(read_scores(scores)[0].mean()),
        "divergence_bits_a_step": code["divergence_bits"] / code["steps"],
        "divergence_bits_per_param": code["divergence_bits_per_param"],
        "formula_bits_per_param": code["formula_bits_per_param"],
        # of a student that was sent; the others' length is the formula's
        "sent_bits_per_param": code["coded_bits_per_param"] if code["sent"] else None,
        **_bounds_of(own, coded["train_loss"], paper),
        "quantizer": settings.quantizer,
        "coded_bits_per_param": coded["coded_bits_per_param"],
        "coded_loss": coded["quantized_loss"],
        **{f"coded_{name}_bound": coded[f"{name}_bound_coded"] for name in _BOUNDS},
    }


def _bounds_of(own, train_loss, paper):
    """Bounds at the divergence alone and at the whole length; nothing for a student whose length is no code.

    `gap_of_lossless` is the gap of the paper's bound as a share of that of a 4-bit code (or whatever the paper's quantizer has) that loses nothing.
    """
    gap = paper["paper_bound"] - paper["term_quantization_gap"] - train_loss
    found = {}
    for suffix, of in (("_divergence", ""), ("", "_coded")):
        found |= {f"{name}_bound{suffix}": own and own[f"{name}_bound{of}"] for name in _BOUNDS}
        found[f"gap_of_lossless{suffix}"] = own and (own[f"paper_bound{of}"] - train_loss) / gap
    return found
