"""The README of an archive: what it is, how to verify it, how to cite it, for whoever opens it."""

from pathlib import PurePosixPath

import scalebound
from scalebound.artifacts.certificate import read_certificate
from scalebound.audit.records import families

TEXT = """# scalebound: bounds of {families}

A finished run of scalebound {version}, which bounds the loss of language models on text like their training stream. An audit of the
whole run found no problem when this archive was made.{older}

- `results/<family>/`: tables (`*.csv`), figures, and below them what each job was made from, its settings and its run
- `results/audit.html`: from each number to the files that it follows from; it loads nothing
- `results/manifest.tsv`: every file of the run with its sha256
- `ro-crate-metadata.json`: the same as a Workflow Run RO-Crate, job by job
- everything else: the workflow and its package, with the configuration; `envs/requirements.txt` is the environment

Not in here are {count} files of {size} bytes: checkpoints, rows, downloads, decoded models, scores of estimates. The manifest
names them too; the workflow makes them again. Texts and tokens in here are data of third parties under licenses of their own.

## Verify

```
sha256sum --check SHA256SUMS       # in the unpacked folder
pip install ./{name}
scalebound verify {name}
```

The last line decodes each certified model, scores a share of its windows again, and computes every number of its certificate by other
code:

{certificates}

Bounds in tables that do not say `certificate` are estimates.

## Cite

`CITATION.cff` names the software and the paper whose experiment it is; please cite both, and this archive by the DOI of the place
where you found it.
"""


def readme_text(results, jobs, older, holds, name):
    """The README, in Markdown, of the archive `name` of `jobs` in `results`.

    older: how many files older code has made. holds: tells of a path whether the archive has it.
    """
    left_out = [path for job in jobs for path in job.outputs if not holds(path)]
    certificates = sorted(path for job in jobs if job.stage == "certify" for path in job.outputs if path.endswith("/certificate.json"))
    return TEXT.format(
        families=", ".join(families(results)),
        version=scalebound.__version__,
        older=f" {older} of its files were made by older code than that in here; the manifest says which." if older else "",
        count=len(left_out),
        size=sum((results / path).stat().st_size for path in left_out),
        name=name,
        certificates="\n".join(_line(results, path) for path in certificates) or "(this run has none)",
    )


def _line(results, path):
    certificate = read_certificate(results / path)
    return f"- `results/{PurePosixPath(path).parent}`: {certificate['value']:.4f} nats per token for {certificate['checkpoint']['slug']}"
