"""Collect what a family's bounds are compared with: baselines.csv, one row a checkpoint."""

import math

import pandas as pd

from scalebound.artifacts.family_tables import CERTIFICATES, read_family_table
from scalebound.artifacts.provenance import read_json
from scalebound.commands.stage import Many
from scalebound.commands.table import read_bounds
from scalebound.errors import InputError, first_line

GROUP = "studies"

_BOUNDS = ("train_loss", "quantized_loss", "paper_bound", "freedman_bound", "geometric_bound", "azuma_bound")


INPUTS = {
    "bounds": Many("bounds.json files of the paper's quantizer"),
    "baselines": Many("baseline.json files, of the checkpoints that have one"),
    "certificates": Many("certificates.csv, where the family has one"),
}
OUTPUTS = {"out": "baselines.csv"}
SETTINGS = None
PACKAGES = ["pandas"]


def compute(inputs, _):
    return {"out": baselines_text(inputs["bounds"], inputs["baselines"], inputs["certificates"])}


def baselines_text(bounds, baselines, certificates):
    """baselines.csv as text from the paths of its inputs, by size, tokens and name; what is not known is left empty, with a reason.

    All but `certificate` are estimates at the nominal code length of the paper's quantizer; losses and bounds in nats.
    """
    certified = _certified(certificates)
    known = dict(map(_read_baseline, baselines))
    lines = [_line(read_bounds(path), known, certified) for path in bounds]
    table = pd.DataFrame(lines).sort_values(["n_params", "n_tokens", "checkpoint"], kind="stable")
    return table.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def _line(line, known, certified):
    slug = line["checkpoint"]
    made = known.get(slug)
    heldout, document = (made["heldout"], made["document"]) if made else ({}, None)
    reason = "" if made else "the documents of the stream are not known"
    return {
        **{key: line[key] for key in ("checkpoint", "kind", "n_params", "n_tokens", "quantizer")},
        "log_v": math.log(line["vocab_size"]),
        **{key: line[key] for key in _BOUNDS},
        "heldout_loss": heldout.get("loss"),
        "heldout_standard_error": heldout.get("standard_error"),
        "heldout_loss_quantized": heldout.get("quantized_loss"),
        "heldout_windows": heldout.get("windows"),
        # the mean over documents comes from sampled windows: an estimate even where the theorem's assumptions hold
        "document_loss_estimate": document and document["mean_loss"],
        "document_bound": document and document["bound"],
        "documents": made and made["documents"],
        "certificate": certified.get(slug),
        "missing": reason,
    }


def _read_baseline(path):
    """(slug, content) of a baseline.json. Raises InputError when a number of the table is missing."""
    content = read_json(path, "baseline", {"checkpoint": dict, "heldout": dict, "documents": int})
    try:
        slug = content["checkpoint"]["slug"]
        wanted = [content["heldout"][key] for key in ("loss", "standard_error", "quantized_loss", "windows")]
        wanted += [content["document"][key] for key in ("bound", "mean_loss")]
    except (KeyError, TypeError) as error:
        raise InputError(path, f"no baseline of a checkpoint ({first_line(error)})", "Delete it and let snakemake make it again") from None
    if not all(isinstance(value, (int, float)) for value in wanted):
        raise InputError(path, "holds something else than numbers", "Delete it and let snakemake make it again")
    return slug, content


def _certified(certificates):
    """{slug: certificate} of the family's table."""
    tables = [read_family_table(path, CERTIFICATES) for path in certificates]
    return {slug: value for table in tables for slug, value in zip(table["checkpoint"], table["certificate"])}
