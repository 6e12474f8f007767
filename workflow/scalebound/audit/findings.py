"""What an audit reports."""

from dataclasses import dataclass

REMAKE = "delete it and run snakemake again"


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong: the file, what was expected, what was found, how to repair it."""

    path: str
    expected: str
    found: str
    repair: str = REMAKE
