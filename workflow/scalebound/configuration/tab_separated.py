"""Tab-separated tables that a user edits, by hand or with a spreadsheet; a row whose first cell begins with # is a comment."""

import csv
import io

import numpy as np

from scalebound.configuration.text_files import read_text
from scalebound.errors import InputError, first_line

_SEPARATORS = {";": "semicolons", ",": "commas", " ": "blanks"}


def read_rows(path, columns, optional=()):
    """[(where, {column: text})] in the order of the file; `where` names file and line, cells have no blanks around them.

    Columns may stand in any order and their names in capitals; cells may be quoted, and empty ones may follow the last column.

    Args:
        optional: columns that the table need not have.

    Raises:
        InputError: no readable table, unknown or missing columns, or a row of another number of cells.
    """
    lines = _lines(path)
    remedy = f"The columns are {' '.join(columns)}, separated by tabs"
    if not lines:
        raise InputError(path, "empty table", remedy)
    header = _trimmed([name.lower() for name in lines[0][1]])
    _check_header(path, header, columns, optional, remedy)
    return [(where, _fields(where, header, cells, optional)) for where, cells in lines[1:]]


def read_tab_separated(path, columns, numbers):
    """The table as a data frame of `columns`, in this order; cells of `numbers` may be empty (NaN).

    Raises:
        InputError: what `read_rows` refuses, or one of `numbers` that is no finite number.
    """
    import pandas as pd

    rows = read_rows(path, columns)
    table = pd.DataFrame([fields for _, fields in rows], columns=list(columns))
    for column in numbers:
        table[column] = np.array([_number(where, column, fields[column]) for where, fields in rows], dtype=np.float64)
    return table


def _lines(path):
    """[(where, cells)] of the lines that hold something other than a comment."""
    text = read_text(path, "Correct the name of the table in the configuration")
    # a comment is left out before quotes are looked for in it, and its line still counts
    reader = csv.reader(("\n" if line.startswith("#") else line for line in io.StringIO(text)), delimiter="\t")
    try:
        found = [(f"{path}, line {reader.line_num}", [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise InputError(path, f"no table ({first_line(error)})", "Save it as text, its columns separated by tabs") from None
    return [(where, cells) for where, cells in found if any(cells) and not cells[0].startswith("#")]


def _trimmed(cells):
    """The cells up to the last that is not empty."""
    return cells[: max((k for k, cell in enumerate(cells, start=1) if cell), default=0)]


def _check_header(path, header, columns, optional, remedy):
    separators = [name for mark, name in _SEPARATORS.items() if mark in header[0]]
    if len(header) == 1 and separators:
        raise InputError(path, f"its columns are separated by {separators[0]}", remedy)
    unknown = [name for name in header if name not in columns]
    missing = [name for name in columns if name not in header and name not in optional]
    if unknown:
        raise InputError(path, f"unknown column {unknown[0][:60]!r}", remedy)
    if missing:
        raise InputError(path, f"column {missing[0]!r} is missing", remedy)
    if len(set(header)) != len(header):
        raise InputError(path, "a column occurs twice", remedy)


def _fields(where, header, cells, optional):
    cells = [*cells[: len(header)], *_trimmed(cells[len(header) :])]
    # an editor takes the tab before an empty last cell away
    cells += ["" for name in header[len(cells) :] if set(header[len(cells) :]) <= set(optional)]
    if len(cells) != len(header):
        raise InputError(where, f"{len(cells)} values for {len(header)} columns", "Separate columns by single tabs")
    return dict(zip(header, cells))


def _number(where, column, text):
    try:
        found = float(text or "nan")
    except ValueError:
        found = np.inf
    if np.isinf(found) or "_" in text:
        raise InputError(where, f"{column} {text[:60]!r}", "Write a number, with a decimal point and without separators")
    return found
