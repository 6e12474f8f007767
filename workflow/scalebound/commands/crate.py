"""Describe a results folder as an RO-Crate (Provenance Run Crate): ro-crate-metadata.json in it, the workflow copied beside."""

from pathlib import Path

from scalebound.audit import crate

GROUP = "reading results"
EXAMPLE = "--results results"


def add_arguments(parser):
    parser.add_argument("--results", default="results", help="folder of the results, which becomes the crate (default: results)")
    parser.add_argument("--out", help="folder in it for the copy of the workflow (default: RESULTS/crate)")


def run(arguments):
    results = Path(arguments.results)
    made = crate.write(results, arguments.out or results / "crate")
    print(f"{made[0]}, with {len(made) - 1} files of the workflow in {arguments.out or results / 'crate'}")
    return made
