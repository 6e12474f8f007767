"""`scores.parquet` back as arrays: one row a token in the file, one row a window in memory."""

import numpy as np

from scalebound.artifacts.parquet import identity_of, read_parquet
from scalebound.artifacts.provenance import check_keys
from scalebound.bounds.online_scores import OnlineScores
from scalebound.errors import InputError

STAGES = ("score", "score-references")
REMEDY = "Score the checkpoint again"


def read_scores(path):
    """(nll, entropy, identity): float64 [windows, positions], in nats.

    Whether the numbers are finite is looked at where bounds are computed.

    Raises:
        InputError: unreadable, or not one value for every position of every window, in order.
    """
    table = read_parquet(path, STAGES)
    return *scores_of(table, path), identity_of(table, path)


def read_pair_scores(path, vocab_size):
    """(`OnlineScores` over V output entries, entropy, step of each window's reference, identity) of a model scored beside its references.

    Raises:
        InputError: unreadable, or columns that cannot be such scores.
    """
    table = read_parquet(path, "score-references")
    identity = identity_of(table, path)
    check_keys(identity.get("settings"), {"alphas": list}, path)
    alphas = identity["settings"]["alphas"]
    nll, entropy = scores_of(table, path)
    try:
        reference_nll, *largest = (table[name].to_numpy().astype(np.float64).reshape(nll.shape) for name in ("reference_nll", *largest_names(alphas)))
        steps = _integers(table["reference"].to_numpy()).reshape(nll.shape)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"no losses of references for alphas {alphas} ({error})", REMEDY) from None
    if (steps != steps[:, :1]).any():
        raise InputError(path, "two references in one window", REMEDY)
    try:
        scores = OnlineScores(nll, reference_nll, largest, alphas, vocab_size)
    except InputError as error:
        raise InputError(path, error.found, REMEDY) from None
    return scores, entropy, steps[:, 0], identity


def largest_names(alphas):
    """Columns of the largest differences."""
    return [f"largest_difference_{k}" for k in range(len(alphas))]


def scores_of(table, path):
    """(nll, entropy) of the table that `path` holds."""
    try:
        window, position = (_integers(table[name].to_numpy()) for name in ("window", "position"))
        nll, entropy = (table[name].to_numpy().astype(np.float64) for name in ("nll", "entropy"))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"its columns are not window, position, nll, entropy ({error})", REMEDY) from None
    length = int(position.max()) + 1 if len(position) else 0
    if not length or len(window) % length:
        raise InputError(path, f"{len(window)} rows of {length} positions", REMEDY)
    places = np.arange(len(window))
    if not (np.array_equal(window, places // length) and np.array_equal(position, places % length)):
        raise InputError(path, "windows or positions out of order", REMEDY)
    return nll.reshape(-1, length), entropy.reshape(-1, length)


def standard_error(losses):
    """Of the mean of losses [windows, positions], from the spread of the means of windows; needs two of them. In nats."""
    means = losses.mean(axis=1)
    return float(means.std(ddof=1) / np.sqrt(len(means)))


def windows_digest(identity, path):
    """The sha256 of the windows that scores with this identity belong to. Raises InputError when it names none."""
    return _digest(identity, "windows", path)


def model_digest(identity, path):
    """The sha256 of the description of the model that was scored. Raises InputError when the identity names none."""
    return _digest(identity, "model", path)


def _digest(identity, role, path):
    try:
        return identity["inputs"][role]["sha256"]
    except (KeyError, TypeError):
        raise InputError(path, f"its identity names no {role}", REMEDY) from None


def _integers(values):
    if values.dtype.kind not in "iu":
        raise TypeError(f"a place of type {values.dtype}")
    return values
