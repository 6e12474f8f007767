"""Positions from a share f of the stream on: a bound for the mean risk there, whose references are close to h (theory, section 13).

Every martingale of a bound may start at any place that is fixed in advance: the products over k > f n have mean 1 as those
over all k. So the bound over the later rows is the same function with n, in C too, the predictions of these rows. Windows that
were drawn uniformly from all rows serve: given how many of them fall into the later rows, these are independent and uniform
over the later rows, and what holds with probability 1 - d for each such number holds with probability 1 - d.

f must not depend on the data. Statements for several f hold each on its own; all at once, their failure probabilities add.
"""

import math
from fractions import Fraction

from scalebound.errors import InputError


def first_row(share, rows):
    """The first of the rows [0, rows) that are at or behind `share` of the stream, exact for shares as they are written (0.1).

    Raises:
        InputError: a share outside [0, 1), or one that leaves no row.
    """
    first = math.ceil(Fraction(str(share)) * rows) if 0 <= share < 1 else rows
    if first >= rows:
        raise InputError("from", f"{share} of {rows} rows", "The share is in [0, 1), and at least one row lies behind it")
    return first
