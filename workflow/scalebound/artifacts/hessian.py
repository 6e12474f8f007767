"""`hessian.json`: what stochastic Lanczos quadrature found of one checkpoint, or why it was not computed."""

import numpy as np

from scalebound.artifacts.provenance import check_keys, read_json
from scalebound.errors import InputError

REMAKE = "Delete it and let snakemake make it again"
PARTS = {"alpha": list, "beta": list, "nodes": list, "weights": list, "residuals": list}


def read_hessian(path):
    """The content of the file, its probes as numpy arrays; a skipped checkpoint has none and says why in `status`.

    Raises:
        InputError: unreadable, or numbers that are no quadrature.
    """
    content = read_json(path, "hessian", {"checkpoint": str, "n_params": int, "status": str, "probes": list})
    if (content["status"] == "computed") != bool(content["probes"]):
        raise InputError(path, f"status {content['status']!r} with {len(content['probes'])} probes", REMAKE)
    if content["probes"]:
        check_keys(content, {"loss": float, "gradient_norm": float}, path)
    return content | {"probes": [_arrays(probe, path) for probe in content["probes"]]}


def _arrays(probe, path):
    check_keys(probe, PARTS, path)
    try:
        arrays = {name: np.array(probe[name], dtype=np.float64) for name in PARTS}
    except (TypeError, ValueError):
        raise InputError(path, "a probe holds what is no number", REMAKE) from None
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1 or not all(len(a) and np.isfinite(a).all() for a in arrays.values()):
        raise InputError(path, "a probe's parts are not equally many finite numbers", REMAKE)
    if abs(arrays["weights"].sum() - 1) > 1e-6 or arrays["weights"].min() < 0:
        raise InputError(path, "weights of a probe that are no shares of one", REMAKE)
    return arrays
