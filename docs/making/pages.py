"""Write the numbers of README and docs from the kept tables, and find what no longer fits: `make docs`.

A page names, in comments that a reader does not see, where each number comes from. Tables are those of docs/results/, which
`make docs-results` keeps, and of config/; expressions are Jinja's. The table `ledger` is that of the audit page's module.

    <!--rows bounds = ladder/bounds.csv quantizer=gptq-4 by checkpoint -->    rows of a table under a name, for this page
    0.33<!--= f(bounds.sigma[0], 2) -->                                       a number: it is written anew
    <!--? bounds.sigma[0] < bounds.sigma[-1] -->                              a claim of the sentence before it: it must be true
    0.54<!--: the paper -->                                                   a number from elsewhere; of a file, it must stand in it
    <!--table bounds                                                          a table: one line a row, one definition a column
    checkpoint = checkpoint
    sigma = f(sigma, 3)
    -->
    <!--end-->

A decimal number or a share in % that has no such comment is a problem, except in code and in the names of papers. Where docs/results/
has no folder of a family, its numbers are an ellipsis and its tables a line that says how to get them; its claims wait.
"""

import functools
import itertools
import math
import re
import sys
from pathlib import Path

import pandas as pd
import yaml
from jinja2 import StrictUndefined, TemplateError, Undefined
from jinja2.sandbox import SandboxedEnvironment

from scalebound.audit.page.ledger import as_rows
from scalebound.counts import short_count

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "docs/results"
NOT_KEPT = "…"
VALUE = r"[\w+.,%?…-]*"
ROWS = re.compile(r"<!--rows (\w+) = (\S+)((?: \S+=\S+)*)(?: by ([\w, ]+?))? *-->")
NUMBER = re.compile(rf"({VALUE})<!--= (.+?) -->")
CLAIM = re.compile(r"<!--\? (.+?) -->", re.S)
QUOTED = re.compile(rf"({VALUE})<!--: (.+?) -->")
TABLE = re.compile(r"(<!--table (\w+)\n(.*?)-->\n)(.*?)(<!--end-->)", re.S)
# what may hold a number that is none of ours: code, addresses, papers
APART = re.compile(r"```.*?```|`[^`\n]*`|\]\([^)\n]*\)|arXiv:[\d.]+|Theorems? [\d., ]+|<!--.*?-->", re.S)
UNMARKED = re.compile(r"\d[\d,]*\.\d+(?!\w)|\d+ ?%")


def pages():
    """README.md and the pages of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def render(text, kept=KEPT):
    """(the page with its numbers and tables written anew, [what is wrong with it])."""
    page = _Page(text, kept)
    text = TABLE.sub(lambda found: f"{found[1]}{page.table(found[2], found[3])}{found[5]}", text)
    text = NUMBER.sub(lambda found: f"{page.value(found[2], found[1])}<!--= {found[2]} -->", text)
    page.problems += [f"no longer true: {claim}" for claim in CLAIM.findall(text) if page.value(claim) not in (True, NOT_KEPT)]
    page.problems += [f"{number} is not in {source}" for number, source in QUOTED.findall(text) if not _stands_in(number, source)]
    bare = APART.sub("", TABLE.sub("", QUOTED.sub("", NUMBER.sub("", text))))
    page.problems += [f"no comment says where {number} comes from" for number in UNMARKED.findall(bare)]
    return text, page.problems


class Rows:
    """Rows of a table: `rows[key]` is one of them as {column: value}, `rows.column` a list in the table's order."""

    def __init__(self, table, keys):
        self._rows = [{name: None if value != value else value for name, value in row.items()} for row in table.to_dict("records")]
        self._keys = [row[keys[0]] if len(keys) == 1 else tuple(row[key] for key in keys) for row in self._rows]
        if len(set(self._keys)) < len(self._keys):
            raise KeyError(f"{', '.join(keys)}: several rows of one name")

    def __getitem__(self, key):
        return self._rows[self._keys.index(key)]

    def __getattr__(self, column):
        return [row[column] for row in self._rows]

    def __iter__(self):
        return iter(self._rows)


class _Page:
    """The tables that a page names, its expressions, and what is wrong with them."""

    def __init__(self, text, kept):
        self.problems = []
        self.environment = SandboxedEnvironment(undefined=StrictUndefined)
        self.names = {**FUNCTIONS, "config": yaml.safe_load((ROOT / "config/config.yaml").read_text())}
        self.names["ledger"] = Rows(pd.DataFrame(as_rows()), ["number"])
        self.not_kept = {}
        for name, path, where, keys in ROWS.findall(text):
            place, family = (ROOT if path.startswith("config/") else kept) / path, path.partition("/")[0]
            if place.parent.exists():
                self.names[name] = self._try(path, functools.partial(_rows, place, where.split(), keys))
            else:
                self.not_kept[name] = family

    def value(self, expression, otherwise="?", row=()):
        """What an expression gives; NOT_KEPT where its run is not there, `otherwise` where it gives nothing, which is a problem."""
        if set(re.findall(r"\w+", expression)) & set(self.not_kept):
            return NOT_KEPT

        def found():
            value = self.environment.compile_expression(expression, undefined_to_none=False)(**self.names, **dict(row))
            return value + "" if isinstance(value, Undefined) else value  # raises, as every use of what is undefined does

        return self._try(expression, found, otherwise)

    def table(self, name, definitions):
        """The lines of a table as Markdown; of a family that has not been run for these pages, how to."""
        if name in self.not_kept:
            family = self.not_kept[name]
            return f"No run of the family `{family}` is kept here: `make docs-results FAMILIES={family}` takes the table from a finished one.\n"
        columns = [line.rpartition(" = ")[::2] for line in definitions.strip().splitlines()]
        lines = ["| " + " | ".join(heading.strip() for heading, _ in columns) + " |", "|---" * len(columns) + "|"]
        rows = self.names.get(name)
        for row in rows if isinstance(rows, Rows) else ():
            lines.append("| " + " | ".join(str(self.value(expression, row=row)) for _, expression in columns) + " |")
        return "\n".join([*lines, ""])

    def _try(self, what, found, otherwise=None):
        try:
            return found()
        except (TemplateError, LookupError, TypeError, ValueError, ArithmeticError, OSError) as error:
            self.problems.append(f"{what}: {type(error).__name__}: {error}")
            return otherwise


def _rows(path, where, keys):
    layout = {"sep": "\t", "comment": "#"} if path.suffix == ".tsv" else {}
    table = pd.read_csv(path, dtype={"setting": str}, **layout)
    for column, value in (condition.split("=", 1) for condition in where):
        table = table[table[column].astype(str) == value]
    names = [key.strip() for key in (keys or table.columns[0]).split(",")]
    table = table.dropna(subset=names)
    if table.empty:
        raise KeyError(f"no row where {' '.join(where)}")
    return Rows(table, names)


def _stands_in(number, source):
    """Whether a source that is a file of ours holds the number; what the paper says cannot be looked up here."""
    return not (ROOT / source).is_file() or number in (ROOT / source).read_text(encoding="utf-8")


def _fixed(number, digits):
    """A number with so many digits behind the point. Raises ValueError when it is none."""
    if not math.isfinite(number):
        raise ValueError(f"{number} is no number")
    return f"{number:.{digits}f}"


FUNCTIONS = {
    "f": _fixed,
    "plus": lambda number, digits: ("+" if number >= 0 else "") + _fixed(number, digits),
    "percent": lambda share: f"{_fixed(100 * share, 0)}%",
    "count": lambda number: f"{number:,.0f}",
    "short": short_count,
    "log": math.log,
    **{function.__name__: function for function in (abs, all, len, list, max, min, sum, sorted)},
    # of columns, as lists
    "minus": lambda left, right: [x - y for x, y in zip(left, right, strict=True)],
    "over": lambda left, right: [x / y for x, y in zip(left, right, strict=True)],
    "above": lambda left, right: all(x > y for x, y in zip(left, right, strict=True)),
    "rising": lambda column: all(x < y for x, y in itertools.pairwise(column)),
    "falling": lambda column: all(x > y for x, y in itertools.pairwise(column)),
    "geometric_mean": lambda column: math.exp(sum(map(math.log, column)) / len(column)),
    # of rows
    "where": lambda rows, **cells: [row for row in rows if all(row[name] == cell for name, cell in cells.items())],
    "column": lambda rows, name: [row[name] for row in rows],
    "nearest": lambda rows, name, value: min(rows, key=lambda row: abs(row[name] - value)),
    "stays_below": lambda rows, name, limit: list(itertools.takewhile(lambda row: row[name] < limit, reversed(rows)))[-1],
}


def main():
    problems = []
    for path in pages():
        text, found = render(path.read_text(encoding="utf-8"))
        path.write_text(text, encoding="utf-8")
        problems += [f"{path.relative_to(ROOT)}: {problem}" for problem in found]
    named = {path.partition("/")[0] for page in pages() for _, path, _, _ in ROWS.findall(page.read_text(encoding="utf-8"))} - {"config"}
    waiting = [f"no run of the family {family} is kept: its numbers wait" for family in sorted(named) if not (KEPT / family).exists()]
    print("\n".join([*problems, *waiting]) or f"{len(pages())} pages: every number is that of its table")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
