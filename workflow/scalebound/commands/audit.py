"""Check every artifact under results/: hashes, recorded inputs, settings, completeness, and every number again.

Exit status 0 with a summary, or 1 with a list of what is wrong. Works on a copied results folder.
"""

import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scalebound.artifacts import atomic
from scalebound.audit.manifest import manifest_text
from scalebound.audit.run import audit, summary
from scalebound.errors import InputError, printable

GROUP = "reading results"
EXAMPLE = "results"

SHOWN = 40


def add_arguments(parser):
    parser.add_argument("results", help="the folder results/")
    parser.add_argument("--page", metavar="HTML", help="also write the page from numbers to their artifacts here")
    parser.add_argument("--no-manifest", action="store_true", help="do not write results/manifest.tsv")
    parser.add_argument("--hashes-only", action="store_true", help="skip the numbers: hashes, identities and orphans only")
    parser.add_argument("--workers", type=int, help="processes that compute bounds again; all cores by default")


def run(arguments):
    outcome = audit(arguments.results, arguments.workers, numbers=not arguments.hashes_only)
    made, console = [], Console()
    if not arguments.no_manifest:
        made.append(_write_manifest(Path(arguments.results) / "manifest.tsv", outcome.manifest))
    if arguments.page:
        from scalebound.audit.page.page import write_page

        write_page(arguments.results, arguments.page, outcome.findings, summary(outcome), numbers=not arguments.hashes_only)
        made.append(arguments.page)
    _print(console, outcome)
    for path in made:
        console.print(_plain(f"wrote {path}"), soft_wrap=True)
    if outcome.findings:
        sys.stdout.flush()
        raise InputError(arguments.results, f"{len(outcome.findings)} problems", "The list above names each file and its repair")
    return made


def _print(console, outcome):
    table = _table(None, 2)
    for key, text in summary(outcome).items():
        table.add_row(key, _plain(text))
    console.print(table)
    for note in outcome.notes[:SHOWN]:
        console.print(_plain(f"note: {note}"))
    for name in outcome.older[:SHOWN]:
        console.print(_plain(f"older code: {name}"))
    for finding in outcome.findings[:SHOWN]:
        lines = _table(box.SIMPLE, 1)
        for key in ("path", "expected", "found", "repair"):
            lines.add_row({"path": "file"}.get(key, key), _plain(getattr(finding, key)))
        console.print(lines)
    if len(outcome.findings) > SHOWN:
        console.print(f"... and {len(outcome.findings) - SHOWN} more")


def _table(edge, space):
    """Two columns without a heading; what is longer than a line is folded, never cut."""
    table = Table(box=edge, show_header=False, padding=(0, space, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _plain(text):
    """Text of which nothing is markup for rich or a command for the terminal."""
    return Text(printable(text), overflow="fold")


def _write_manifest(path, rows):
    atomic.write_bytes(path, manifest_text(rows).encode())
    return path
