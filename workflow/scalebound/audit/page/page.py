"""The audit page: one HTML file on which every number of the table of bounds leads back to the data it came from."""

import functools
import json
from pathlib import Path

import jinja2
import pandas as pd

from scalebound.artifacts import atomic
from scalebound.audit.page import bounds, certificates, scores, sections
from scalebound.audit.page import streams as streams_made
from scalebound.audit.page.claims import claims
from scalebound.audit.page.files import DAMAGE, Files, attempt
from scalebound.audit.page.text import legend
from scalebound.audit.page.values import anchor
from scalebound.configuration.streams import MADE_HERE

TEMPLATES = Path(__file__).resolve().parent / "templates"


def write_page(results, out, findings=(), summary=None, numbers=True):
    """Write the audit page of a folder of results.

    Args:
        results: the folder of results.
        out: path of the HTML file, which needs no other file and no network.
        findings: what an audit found wrong, objects with the attributes path, expected, found and repair.
        summary: {name: value} shown at the top; None when nothing was checked, and the page then claims nothing.
        numbers: whether numbers were computed again; where they were not, the headline says so.

    A file that is missing or damaged costs the page the sections that show it; they say what is wrong.
    """
    files = Files(results)
    # what is shared comes first: a file is at home in the first section that shows it, where its identity is shown too
    streams = [_stream(files, path.name) for path in sorted((files.root / "streams").glob("*")) if path.is_dir()]
    families = [_family(files, name) for name in _family_names(files.root)]
    streams += [_stream(files, name) for name in _missing_streams(streams, families)]
    page = {
        "families": families,
        "streams": streams,
        "findings": [_finding(finding) for finding in findings],
        "summary": None if summary is None else {str(key): str(value) for key, value in summary.items()},
        "numbers": numbers,
        "legend": legend(),
        "homes": files.homes,
        "root": files.root.name,
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    atomic.write_bytes(out, environment.get_template("audit.html.j2").render(page).encode("utf-8", errors="backslashreplace"))


def _finding(finding):
    return {name: str(getattr(finding, name)) for name in ("path", "expected", "found", "repair")}


def _family_names(root):
    """Families with a table or a configuration; results of several families share the folder."""
    return sorted({path.parent.name for pattern in ("*/bounds.csv", "*/config.json") for path in root.glob(pattern)})


def _missing_streams(streams, families):
    """Streams that a checkpoint refers to and that are not there: their sections say so, and no link is broken."""
    referred = {checkpoint["stream"] for family in families for checkpoint in family["checkpoints"]}
    return sorted(referred - {stream["name"] for stream in streams} - {None})


def _family(files, name):
    checkpoints = [_checkpoint(files, name, slug, quantizers) for slug, quantizers in _pairs(files.root / name).items()]
    table = attempt(files, anchor(name), bounds.family_table, name)
    certified = any(quantizer["certificate"] for checkpoint in checkpoints for quantizer in checkpoint["quantizers"])
    listed = attempt(files, anchor(name, "certificates"), certificates.certificates_table, name) if certified else None
    configuration = attempt(files, anchor(name, "config"), sections.configuration, name)
    return {
        "name": name,
        "anchor": anchor(name),
        "table": table,
        "certificates": listed,
        "claims": attempt(files, anchor(name, "claims"), claims, name),
        "configuration": configuration,
        "checkpoints": checkpoints,
    }


def _pairs(folder):
    """{checkpoint: [quantizer]} of the table, and of the configuration what the table lacks, so that no damage hides them."""
    pairs = {}
    for read in (_pairs_of_table, _pairs_of_configuration):
        try:
            found = read(folder)
        except DAMAGE:  # the section of the table says what is wrong with it
            continue
        for slug, quantizer in found:
            quantizers = pairs.setdefault(slug, [])
            quantizers += [quantizer] if quantizer not in quantizers else []
    return pairs


def _pairs_of_table(folder):
    table = pd.read_csv(folder / "bounds.csv", dtype=str, keep_default_na=False)
    return list(zip(table["checkpoint"], table["quantizer"]))


def _pairs_of_configuration(folder):
    saved = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    quantizers = list(map(str, saved["config"]["quantize_with"]))
    return [(str(row["slug"]), quantizer) for row in saved["checkpoints"] for quantizer in quantizers]


def _checkpoint(files, family, slug, quantizers):
    home, folder = anchor(family, slug), f"{family}/{slug}"
    make = functools.partial(attempt, files)
    configured = _certified(files, family)
    certified = [name for name in quantizers if name == configured or _has_certificate(files, folder, name)]
    made = {
        "slug": slug,
        "anchor": home,
        "resolved": make(f"{home}/resolve", sections.resolved, folder),
        "draws": [(name, make(f"{home}/sample/{name}", sections.draw, folder, name)) for name in _draws(files.root / folder, certified)],
        "scores": make(f"{home}/score", scores.plain_scores, folder),
        "worst": make(f"{home}/score/windows", scores.worst_windows, folder),
        "training": make(f"{home}/resolve/training", sections.training, folder) if _is_trained(files, family, slug) else None,
        "quantizers": [_quantizer(make, folder, home, name, name in certified) for name in quantizers],
    }
    streams = [section.content.get("stream") for section in (made["resolved"], *(draw for _, draw in made["draws"]))]
    made["stream"] = next((stream for stream in streams if isinstance(stream, str) and stream), None)
    made["stream_anchor"] = anchor("streams", made["stream"])
    return made


def _certified(files, family):
    """The quantizer whose models the configuration has certified, or None."""
    section = files.configuration(family)["config"].get("certificate")
    return section.get("quantizer") if isinstance(section, dict) else None


def _has_certificate(files, folder, quantizer):
    return (files.root / folder / "quantizers" / quantizer / "certificate" / "certificate.json").is_file()


def _is_trained(files, family, slug):
    """Only for a checkpoint that the workflow trained there is a loss of every step; also where nothing says what it is."""
    sources = [row.get("source") for row in files.configuration(family)["checkpoints"] if isinstance(row, dict) and row.get("slug") == slug]
    return sources in ([], ["trained"])


def _draws(folder, certified):
    """The draws of a checkpoint: the two that every one has, that of a certificate, and those that lie there."""
    found = {path.name for path in (folder / "sample").glob("*") if path.is_dir()} | ({"certify"} if certified else set())
    return ["score", "calibration", *sorted(found - {"score", "calibration"})]


def _quantizer(make, checkpoint, parent, name, certified):
    home, folder = f"{parent}/quantizers/{anchor(name)}", f"{checkpoint}/quantizers/{name}"
    return {
        "name": name,
        "anchor": home,
        "places": [f"{home}/bound/{length}/{kind}" for length in bounds.LENGTHS for kind in bounds.NAMES],
        "bound": make(f"{home}/bound", bounds.bound, folder),
        "scores": make(f"{home}/score", scores.quantized_scores, checkpoint, folder),
        "raised": make(f"{home}/score/windows", scores.raised_window, checkpoint, folder),
        "code": make(f"{home}/encode", sections.code, folder),
        "formulas": make(f"{home}/bound/formulas", bounds.formulas, checkpoint, folder),
        "certificate": make(f"{home}/certificate", certificates.certificate, folder) if certified else None,
    }


def _is_listed(files, name):
    """Whether the configuration of a family takes the stream from somewhere else, so that only a listing of it is here."""
    settings = [files.configuration(family)["config"].get("streams") for family in _family_names(files.root)]
    kinds = [section[name].get("kind") for section in settings if isinstance(section, dict) and isinstance(section.get(name), dict)]
    return any(kind not in MADE_HERE for kind in kinds)


def _stream(files, name):
    home = anchor("streams", name)
    folder = files.root / "streams" / name
    if _is_listed(files, name) or ((folder / "resolved.json").exists() and not (folder / "documents.parquet").exists()):
        return {"name": name, "anchor": home, "listing": attempt(files, f"{home}/listing", streams_made.listing, name)}
    rows = attempt(files, f"{home}/rows", sections.rows, f"streams/{name}/rows")
    return {
        "listing": None,
        "name": name,
        "anchor": home,
        # a stream that a model wrote has rows and nothing else
        "drawn": bool(rows.content.get("drawn")),
        "documents": attempt(files, f"{home}/documents", sections.documents, name),
        "tokenizer": attempt(files, f"{home}/tokenizer", sections.tokenizer, name),
        "wheels": attempt(files, f"{home}/wheels", sections.wheels, name),
        "rows": rows,
    }
