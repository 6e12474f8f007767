"""The table of published models: how many parameters, and how many tokens they were trained on."""

from scalebound.configuration.tab_separated import read_tab_separated
from scalebound.errors import InputError

COUNTS = ("n_params", "n_tokens")
COLUMNS = ("name", *COUNTS, "source")


def read_models(path):
    """Data frame of `COLUMNS`, one row a model.

    Raises:
        InputError: unreadable, other columns, a count that is not positive, or a name that occurs twice.
    """
    table = read_tab_separated(path, COLUMNS, COUNTS)
    for column in COUNTS:
        if not (table[column] > 0).all():
            raise InputError(path, f"{column} holds something else than positive numbers", "Correct the table")
    if table["name"].duplicated().any():
        raise InputError(path, f"{table['name'][table['name'].duplicated()].iloc[0]!r} occurs twice", "Correct the table")
    return table
