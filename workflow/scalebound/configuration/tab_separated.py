"""Tab-separated tables that a user may edit, with comments after `#`."""

import pandas as pd

from scalebound.errors import InputError, first_line


def read_tab_separated(path, columns, numbers):
    """The table as a data frame.

    Raises:
        InputError: unreadable, other columns than `columns`, or one of `numbers` that holds no numbers.
    """
    try:
        table = pd.read_csv(path, sep="\t", comment="#")
    except (OSError, ValueError) as error:
        raise InputError(path, f"unreadable ({first_line(error)})", f"Give a tab-separated table of {', '.join(columns)}") from None
    if list(table.columns) != list(columns):
        raise InputError(path, f"columns {', '.join(map(str, table.columns))}", f"The columns are {', '.join(columns)}")
    wrong = [column for column in numbers if not pd.api.types.is_numeric_dtype(table[column])]
    if wrong:
        raise InputError(path, f"{wrong[0]} holds what is no number", "Correct the table")
    return table
