"""What a checkpoint's bounds are compared with: its held-out loss, and the bound for documents, at the paper's recipe."""

import dataclasses

from scalebound.artifacts import windows
from scalebound.artifacts.provenance import check_keys, file_sha256, read_json
from scalebound.artifacts.scores import read_scores, standard_error, windows_digest
from scalebound.bounds.complexity import alpha_grid
from scalebound.bounds.document_level import document_bound
from scalebound.configuration.config import Bound
from scalebound.corpus.document_order import DocumentOrder
from scalebound.corpus.rows import open_rows
from scalebound.errors import InputError
from scalebound.scoring.sampling import rows_to_draw_from

GROUP = "studies"

NEEDS = {"checkpoint": dict, "vocab_size": int, "n_tokens": int, "nominal": dict}


INPUTS = {
    "bounds": "bounds.json of the paper's quantizer",
    "scores": "scores.parquet of the decoded model, on windows of the training stream",
    "windows": "the windows.parquet of these",
    "tokens": "tokens.bin",
    "stream": "stream.json",
    "heldout": "scores.parquet of the checkpoint on held-out windows",
    "heldout_quantized": "scores.parquet of the decoded model on held-out windows",
}
OUTPUTS = {"out": "baseline.json"}
SETTINGS = Bound
PACKAGES = ["numpy"]


def said(made):
    result = made["out"]
    heldout, document = result["heldout"], result["document"]
    shown = f"bound for {result['documents']} documents {document['bound']:.2f}"
    return f"estimates for {result['checkpoint']['slug']}: held-out loss {heldout['loss']:.3f} (standard error {heldout['standard_error']:.3f}), {shown} nats"


def compute(inputs, settings):
    """The content of baseline.json.

    Raises:
        InputError: unreadable files, scores of other windows, or held-out scores of training windows.
    """
    bounds = read_json(inputs["bounds"], "bound", NEEDS)
    check_keys(bounds["nominal"], {"code_length_bits": int}, inputs["bounds"])
    documents, document = _document_bound(inputs, bounds, settings)
    result = {
        "kind": "estimate",
        "why_estimate": "the mean over documents is taken over sampled windows, each token weighted by 1 / (tokens seen of its document)",
        "checkpoint": bounds["checkpoint"],
        "heldout": _heldout(inputs),
        "documents": documents,
        "document": dataclasses.asdict(document),
    }
    return {"out": result}


def _heldout(inputs):
    """Mean losses of both models in nats, with standard errors over windows."""
    (plain, plain_windows), (quantized, quantized_windows) = (_scores(inputs[name], heldout=True) for name in ("heldout", "heldout_quantized"))
    if plain_windows != quantized_windows:
        raise InputError(inputs["heldout_quantized"], "scored on other windows than the unquantized model", "Score both on the same draw")
    found = {"windows": len(plain), "loss": float(plain.mean()), "standard_error": standard_error(plain)}
    return found | {"quantized_loss": float(quantized.mean()), "quantized_standard_error": standard_error(quantized)}


def _document_bound(inputs, bounds, settings):
    """(documents of which the checkpoint saw a part, DocumentBound). What it saw of a document stands for the document."""
    rows, stream = open_rows(inputs["tokens"], inputs["stream"])
    check_keys(stream, {"row_seed": int}, inputs["stream"])
    ids, _, _ = windows.read(inputs["windows"])
    nll, scored = _scores(inputs["scores"], heldout=False)
    if scored != file_sha256(inputs["windows"]):
        raise InputError(inputs["scores"], f"scored on other windows than {inputs['windows']}", "Give the windows of the scores")
    weights, documents = DocumentOrder(rows, stream["row_seed"]).weights(ids, rows_to_draw_from(rows, bounds["n_tokens"]))
    alphas = alpha_grid(settings.alpha_points, settings.alpha_min, settings.alpha_max)
    length = bounds["nominal"]["code_length_bits"]
    return documents, document_bound(nll, weights, documents, bounds["vocab_size"], length, settings.failure_probability, alphas)


def _scores(path, heldout):
    """(nll float64 [windows, positions], sha256 of the windows); the windows are held out, or are not, as wanted."""
    nll, _, made_of = read_scores(path)
    if (made_of.get("sampling") == "heldout") != heldout:
        wanted = "held-out windows" if heldout else "windows of the training stream"
        raise InputError(path, f"scores of windows that are {made_of.get('sampling')!r}", f"Give scores of {wanted}")
    return nll, windows_digest(made_of, path)
