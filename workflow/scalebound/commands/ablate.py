"""The paper's bound of one checkpoint with one choice changed at a time: ablations.json."""

import numpy as np

from scalebound.artifacts.parquet import read_parquet
from scalebound.artifacts.provenance import check_keys, read_json
from scalebound.artifacts.scores import read_scores
from scalebound.bounds.ablation import Case, ablate
from scalebound.configuration.config import Bound
from scalebound.configuration.studies import Ablations
from scalebound.errors import InputError, first_line

GROUP = "studies"

INPUTS = {
    "bounds": "bounds.json of the paper's quantizer",
    "scores": "scores.parquet of the unquantized model",
    "quantized_scores": "scores.parquet of the decoded model",
    "references": "references.parquet of the decoded model",
}
OUTPUTS = {"out": "ablations.json"}
PACKAGES = ["numpy"]


class Settings(Ablations):
    bound: Bound = Bound()


SETTINGS = Settings


def said(made):
    return f"{len(made['out']['rows'])} variants of the paper's bound"


def compute(inputs, settings):
    """The content of ablations.json.

    Raises:
        InputError: unreadable files, or ones of different windows.
    """
    stated = read_json(inputs["bounds"], "bound", {"n_tokens": int, "vocab_size": int, "nominal": dict, "checkpoint": dict, "n_params": int})
    check_keys(stated["nominal"], {"code_length_bits": (int, float)}, inputs["bounds"])
    plain, _, _ = read_scores(inputs["scores"])
    nll, entropy, _ = read_scores(inputs["quantized_scores"])
    under = _read_references(inputs["references"])
    if not plain.shape == nll.shape == under[0].shape:
        raise InputError(inputs["references"], f"{under[0].shape} values, scores {plain.shape} and {nll.shape}", "Make all of them from the same draw")
    case = Case(nll, entropy, plain, *under, stated["n_tokens"], stated["vocab_size"], stated["nominal"]["code_length_bits"])
    named = {"checkpoint": stated["checkpoint"]["slug"], "n_params": stated["n_params"], "train_loss": float(plain.mean())}
    return {"out": {"kind": "estimate", "rows": [named | row for row in ablate(case, settings.bound, settings)]}}


def _read_references(path):
    """(under_model, under_smoothed), float64 [windows, positions]."""
    table = read_parquet(path, "references")
    try:
        windows = int(table["window"].to_numpy().max()) + 1
        return tuple(table[name].to_numpy().astype(np.float64).reshape(windows, -1) for name in ("under_model", "under_smoothed"))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"not the references of whole windows ({first_line(error)})", "Delete it and let snakemake make it again") from None
