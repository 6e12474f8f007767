"""`scores.parquet` back as arrays: one row a token in the file, one row a window in memory."""

import numpy as np

from scalebound.errors import InputError
from scalebound.tables import identity_of, read_parquet


def read_scores(path):
    """(nll, entropy, identity): float64 [windows, positions], in nats.

    Raises:
        InputError: unreadable, or not one value for every position of every window, in order.
    """
    table = read_parquet(path, "score")
    try:
        window, position = table["window"].to_numpy(), table["position"].to_numpy()
        nll, entropy = (table[name].to_numpy().astype(np.float64) for name in ("nll", "entropy"))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"its columns are not window, position, nll, entropy ({error})", "Score the checkpoint again") from None
    length = int(position.max()) + 1 if len(position) else 0
    if not length or len(window) % length:
        raise InputError(path, f"{len(window)} rows of {length} positions", "Score the checkpoint again")
    places = np.arange(len(window))
    if not (np.array_equal(window, places // length) and np.array_equal(position, places % length)):
        raise InputError(path, "windows or positions out of order", "Score the checkpoint again")
    return nll.reshape(-1, length), entropy.reshape(-1, length), identity_of(table, path)
