"""The table of published models: how many parameters, and how many tokens they were trained on."""

import pandas as pd

from scalebound.errors import InputError, first_line

COLUMNS = ["name", "n_params", "n_tokens", "source"]


def read_models(path):
    """Data frame of `COLUMNS`, one row a model.

    Raises:
        InputError: unreadable, other columns, a count that is not positive, or a name that occurs twice.
    """
    try:
        table = pd.read_csv(path, sep="\t", comment="#")
    except (OSError, ValueError) as error:
        raise InputError(path, f"unreadable ({first_line(error)})", "Give a tab-separated table of published models") from None
    if list(table.columns) != COLUMNS:
        raise InputError(path, f"columns {', '.join(map(str, table.columns))}", f"The columns are {', '.join(COLUMNS)}")
    for column in ("n_params", "n_tokens"):
        if not pd.api.types.is_numeric_dtype(table[column]) or not (table[column] > 0).all():
            raise InputError(path, f"{column} holds something else than positive numbers", "Correct the table")
    if table["name"].duplicated().any():
        raise InputError(path, f"{table['name'][table['name'].duplicated()].iloc[0]!r} occurs twice", "Correct the table")
    return table
