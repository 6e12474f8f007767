"""`scores.parquet` back as arrays: one row a token in the file, one row a window in memory.

`read_...` read all of it, `open_...` as much as is held at once: where there are more tokens, bounds go through the file in parts.
"""

import contextlib

import numpy as np
import pyarrow as pa

from scalebound.artifacts.parquet import describe_parquet, identity_of, read_in_parts, read_parquet
from scalebound.artifacts.provenance import check_keys
from scalebound.bounds.online_scores import OnlineScores
from scalebound.bounds.token_scores import HELD_TOKENS, ScoresInParts, TokenScores
from scalebound.errors import InputError

STAGES = ("score", "score-references")
PART_TOKENS = 2**20  # the rows that pyarrow writes together
REMEDY = "Score the checkpoint again"


def read_scores(path):
    """(nll, entropy, identity): float64 [windows, positions], in nats.

    Whether the numbers are finite is looked at where bounds are computed.

    Raises:
        InputError: unreadable, or not one value for every position of every window, in order.
    """
    table = read_parquet(path, STAGES)
    return *scores_of(table, path), identity_of(table, path)


def scores_of(table, path):
    """(nll, entropy) of the table that `path` holds."""
    _, *columns = _by_window(table, ("nll", "entropy"), path, _positions(table, path))
    return columns


def open_scores(path, vocab_size, held=HELD_TOKENS):
    """(`TokenScores` over V output entries, in parts where there are more than `held` tokens; identity).

    Raises:
        InputError: as `read_scores` does, and for values that are no scores.
    """
    identity, rows = describe_parquet(path, STAGES)

    def parts():
        with _naming(path):
            for _, *columns in _parts(path, ("nll", "entropy")):
                yield TokenScores(*columns, vocab_size)

    if rows <= held:
        return TokenScores.joined([*parts()]), identity
    sizes = [(len(part), part.positions) for part in parts()]
    return ScoresInParts(parts, sum(size for size, _ in sizes), sizes[0][1], vocab_size), identity


def read_pair_scores(path, vocab_size):
    """(`OnlineScores` over V output entries, entropy, step of each window's reference, identity) of a model scored beside its references.

    Raises:
        InputError: unreadable, or columns that cannot be such scores.
    """
    scores, steps, identity = open_pair_scores(path, vocab_size, held=np.inf)
    return scores, read_scores(path)[1], steps, identity


def open_pair_scores(path, vocab_size, held=HELD_TOKENS):
    """(`OnlineScores`, in parts where there are more than `held` tokens; step of each window's reference; identity). Raises InputError as above."""
    identity, rows = describe_parquet(path, "score-references")
    check_keys(identity.get("settings"), {"alphas": list}, path)
    alphas, names = identity["settings"]["alphas"], ("reference_nll", *largest_names(identity["settings"]["alphas"]))

    def parts(checked=True):
        with _naming(path):
            for steps, nll, reference_nll, *largest in _parts(path, ("nll", *names), "reference"):
                yield OnlineScores(nll, reference_nll, largest, alphas, vocab_size, checked), steps

    found, steps, windows = [], [], 0
    for part, used in parts(checked=False):
        if (used != used[:, :1]).any():
            raise InputError(path, "two references in one window", REMEDY)
        steps.append(used[:, 0])
        windows, positions = windows + len(part), part.positions
        found += [part] if rows <= held else []
    if rows <= held:
        return OnlineScores.joined(found), np.concatenate(steps), identity
    return ScoresInParts(lambda: (part for part, _ in parts()), windows, positions, vocab_size), np.concatenate(steps), identity


def largest_names(alphas):
    """Columns of the largest differences."""
    return [f"largest_difference_{k}" for k in range(len(alphas))]


def _parts(path, names, integers=None):
    """Yield ([windows, positions] of the column of integers, if there is one, and float64 of each of `names`), whole windows in order."""
    left, positions, first = None, None, 0
    columns = ["window", "position", *names, *([integers] if integers else [])]
    for table in read_in_parts(path, columns, PART_TOKENS):
        table = table if left is None else pa.concat_tables([left, table])
        positions = positions or _positions(table, path)
        whole = len(table) - len(table) % positions
        if whole:
            yield _by_window(table.slice(0, whole), names, path, positions, first, integers)
        left, first = table.slice(whole), first + whole // positions
    if positions is None or len(left):
        raise InputError(path, f"{first * (positions or 0) + (0 if left is None else len(left))} rows of {positions or 0} positions", REMEDY)


def _positions(table, path):
    """How many positions a window has, by the first ones of a table."""
    with _of_columns(path):
        return int(_integers(table["position"]).max(initial=-1)) + 1


def _by_window(table, names, path, positions, first=0, integers=None):
    with _of_columns(path):
        window, position = _integers(table["window"]), _integers(table["position"])
        values = [table[name].to_numpy().astype(np.float64) for name in names]
        given = None if integers is None else _integers(table[integers])
    if not positions or len(window) % positions:
        raise InputError(path, f"{len(window)} rows of {positions} positions", REMEDY)
    places = np.arange(len(window))
    if not (np.array_equal(window, first + places // positions) and np.array_equal(position, places % positions)):
        raise InputError(path, "windows or positions out of order", REMEDY)
    return [None if given is None else given.reshape(-1, positions), *(value.reshape(-1, positions) for value in values)]


@contextlib.contextmanager
def _of_columns(path):
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"its columns are not those of scores ({error})", REMEDY) from None


@contextlib.contextmanager
def _naming(path):
    """What is wrong with the values is said of the file."""
    try:
        yield
    except InputError as error:
        raise error if error.where == str(path) else InputError(path, error.found, REMEDY) from None


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


def _integers(column):
    values = column.to_numpy()
    if values.dtype.kind not in "iu":
        raise TypeError(f"a place of type {values.dtype}")
    return values
