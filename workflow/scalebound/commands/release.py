"""Write a finished run as one archive with checksums, to cite and to hand on: what `scalebound verify` takes elsewhere."""

from pathlib import Path

from scalebound.artifacts.provenance import file_sha256
from scalebound.audit import release

GROUP = "reading results"
EXAMPLE = "results"


def add_arguments(parser):
    parser.add_argument("results", help="the folder results/, which has to pass the audit")
    parser.add_argument("--out", help="the archive (default: scalebound-FAMILIES.zip in RESULTS)")


def run(arguments):
    results = Path(arguments.results)
    out = Path(arguments.out or results / release.default_name(results))
    digests = release.write(results, out)
    print(f"{out}: {len(digests)} files, {out.stat().st_size / 1e6:.1f} MB, sha256 {file_sha256(out)}")
    return [out]
