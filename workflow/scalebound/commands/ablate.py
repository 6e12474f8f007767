"""The paper's bound of one checkpoint with one choice changed at a time: ablations.json."""

import numpy as np

from scalebound.artifacts import atomic
from scalebound.artifacts.parquet import read_parquet
from scalebound.artifacts.provenance import check_keys, identity, read_json
from scalebound.artifacts.scores import read_scores
from scalebound.bounds.ablation import Case, ablate
from scalebound.commands.arguments import add_settings, read_json_option, read_settings
from scalebound.configuration.config import Bound
from scalebound.configuration.studies import Ablations
from scalebound.errors import InputError, first_line

INPUTS = ("bounds", "scores", "quantized_scores", "references")


def add_arguments(parser):
    add_settings(parser, Ablations)
    parser.add_argument("--bound", required=True, metavar="JSON", help="the Bound section of the configuration, as JSON")
    parser.add_argument("--bounds", required=True, help="bounds.json of the paper's quantizer")
    parser.add_argument("--scores", required=True, help="scores.parquet of the unquantized model")
    parser.add_argument("--quantized-scores", required=True, help="scores.parquet of the decoded model")
    parser.add_argument("--references", required=True, help="references.parquet of the decoded model")
    parser.add_argument("--out", required=True, help="ablations.json")


def run(arguments):
    settings, bound = read_settings(arguments, Ablations), read_json_option(arguments.bound, Bound, "--bound")
    inputs = {name: getattr(arguments, name) for name in INPUTS}
    rows = ablated(inputs, bound, settings)
    made_of = identity("ablate", inputs, settings.model_dump() | {"bound": bound.model_dump()}, packages=["numpy"])
    atomic.write_json(arguments.out, {"identity": made_of, "kind": "estimate", "rows": rows})
    print(f"{len(rows)} variants of the paper's bound in {arguments.out}")
    return [arguments.out]


def ablated(inputs, bound, settings):
    """The rows of ablations.json from the files {bounds, scores, quantized_scores, references}.

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
    return [named | row for row in ablate(case, bound, settings)]


def _read_references(path):
    """(under_model, under_smoothed), float64 [windows, positions]."""
    table = read_parquet(path, "references")
    try:
        windows = int(table["window"].to_numpy().max()) + 1
        return tuple(table[name].to_numpy().astype(np.float64).reshape(windows, -1) for name in ("under_model", "under_smoothed"))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"not the references of whole windows ({first_line(error)})", "Delete it and let snakemake make it again") from None
