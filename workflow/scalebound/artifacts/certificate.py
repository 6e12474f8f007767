"""`certificate.json` back as a dict that has all of its parts."""

from scalebound.artifacts.provenance import check_keys, read_json
from scalebound.errors import InputError

NEEDS = {
    "kind": str,
    "value": float,
    "values": dict,
    "terms": dict,
    "C": float,
    "choice": dict,
    "range": dict,
    "estimate": dict,
    "windows": dict,
    "grid_sizes": dict,
    "vocab_size": int,
    "tokens": int,
    "code_length_bits": int,
    "settings": dict,
    "checkpoint": dict,
    "n_params": int,
    "architecture_id": str,
    "bytes": int,
    "coded_bits_per_param": float,
    "share_of_training": float,
    "quantizer": str,
    "sampling": str,
    "scored": dict,
    "holds_for": str,
    "files": list,
    "also": list,
    "from": float,
    "first_row": int,
}
# of each of `also`: the same with another method, or of positions from another share of the stream on
STATEMENT = ("kind", "value", "values", "terms", "C", "choice", "range", "estimate", "windows", "grid_sizes", "tokens", "settings", "from", "first_row")
# what (D) consists of
HALVES = (
    *("reference_loss", "reference_smoothed_loss", "reference_bound", "difference", "difference_bound"),
    *("difference_second_moment", "mean_largest_difference"),
)


def read_certificate(path):
    """The content of certificate.json.

    Raises:
        InputError: unreadable, or a part is missing or of another type.
    """
    value = read_json(path, "certify", NEEDS)
    if not isinstance(value.get("history", 0), (dict, type(None))):
        raise InputError(path, "no 'history' in it", "Delete it and let snakemake make it again")
    check_keys(value["checkpoint"], {"slug": str, "tokens_seen": int}, path)
    check_keys(value["scored"], {"dtype": str, "windows_per_batch": int, "causality": dict}, path)
    for statement in statements(value):
        check_keys(statement, {name: NEEDS[name] for name in STATEMENT}, path)
        check_keys(statement["settings"], {"method": str, "grids": dict, "stream_failure_probability": float, "draw_failure_probability": float}, path)
        if statement["settings"]["method"] == "online":
            check_keys(statement, {"C_reference": float, "halves": dict}, path)
            check_keys(statement["halves"], dict.fromkeys(HALVES, float), path)
        check_keys(statement["windows"], {"pilot": int, "rest": int}, path)
        check_keys(statement["terms"], dict.fromkeys(("loss", "smoothing", "generalization", "linearization", "sampling"), float), path)
        check_keys(statement["estimate"], {"best": dict, "same_choice": float}, path)
        check_keys(statement["estimate"]["best"], {"value": float, "point": dict}, path)
    return value


def statements(certificate):
    """The certificate and what stands beside it, each with numbers of its own."""
    return [certificate, *certificate["also"]]
