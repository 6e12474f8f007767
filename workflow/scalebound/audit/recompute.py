"""Numbers again: what can be computed from the artifacts without a model is computed, and compared.

Wheels against their pins, windows against the seed and the stream, messages against what was decoded from them, bounds
against their scores, the table against the bounds, the figures against the table.
"""

import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from safetensors.numpy import load_file

from scalebound.artifacts.architecture import read_architecture
from scalebound.artifacts.certificate import read_certificate
from scalebound.artifacts.family_tables import read_family_table
from scalebound.artifacts.provenance import read_json
from scalebound.artifacts.windows import read as read_windows
from scalebound.audit.findings import Finding
from scalebound.audit.identities import read_identity
from scalebound.commands import decode, figures
from scalebound.commands.bound import evaluate_files
from scalebound.commands.certificates import certificates_text
from scalebound.commands.compare import comparison_text, read_published
from scalebound.commands.table import read_bounds, table_text
from scalebound.commands.verify import INPUTS, certificate_problems
from scalebound.corpus.rows import open_rows
from scalebound.figures import style
from scalebound.progress import progress
from scalebound.quantization import message
from scalebound.scoring import sampling

TOLERANCE = 1e-9


def check_wheels(job, folder):
    pins = {wheel["file"]: wheel["sha256"] for wheel in job.settings["wheels"]}
    return [
        Finding(name, f"sha256 {pins[Path(name).name]} (pinned in the configuration)", f"sha256 {folder.sha256(name)}")
        for name in job.outputs
        if Path(name).name in pins and folder.sha256(name) != pins[Path(name).name]
    ]


def check_windows(job, folder):
    """The row ids are those of the seed; the tokens those of the rows, where the rows lie here."""
    (name,) = job.outputs
    ids, tokens, drawn = read_windows(folder.path(name))
    wanted = sampling.draw_rows(drawn["settings"]["rows_seen"], job.settings["windows"], job.settings["seed"])
    if not np.array_equal(ids, wanted):
        return [Finding(name, f"the rows of seed {job.settings['seed']}", "other rows")]
    if "tokens" not in job.inputs:
        return []
    rows, _ = open_rows(folder.path(job.inputs["tokens"]), folder.path(job.inputs["stream"]))
    if not np.array_equal(rows.read(ids), tokens):
        return [Finding(name, f"tokens of those rows of {job.inputs['tokens']}", "other tokens")]
    return []


def check_scores(job, folder):
    """One finite, non-negative loss and entropy for every target of every window, in order."""
    (name,) = job.outputs
    scores = pq.read_table(folder.path(name))
    _, tokens, _ = read_windows(folder.path(job.inputs["windows"]))
    windows, length = tokens.shape[0], tokens.shape[1] - 1
    window, position = np.divmod(np.arange(windows * length), length)
    whole = scores.num_rows == len(window) and all(np.array_equal(scores[k].to_numpy(), v) for k, v in (("window", window), ("position", position)))
    if not whole:
        return [Finding(name, f"{windows} windows of {length} positions", f"{scores.num_rows} rows, or others")]
    for column in ("nll", "entropy"):
        values = scores[column].to_numpy()
        if not np.isfinite(values).all() or values.min() < -1e-5:
            return [Finding(name, f"finite, non-negative {column}", f"minimum {values.min()}")]
    return []


def check_code(job, folder):
    """The stated code length is that of the file."""
    (report,) = (name for name in job.outputs if name.endswith(".json"))
    (sbq,) = (name for name in job.outputs if name.endswith(".sbq"))
    code, size = read_json(folder.path(report), message.CODE_STAGES), folder.path(sbq).stat().st_size
    expected = {"bytes": size, "code_length_bits": message.code_length_bits(size)}
    expected["coded_bits_per_param"] = expected["code_length_bits"] / code["n_params"]
    expected["nominal_bits"] = job.settings["bits"] * code["n_params"] if "bits" in job.settings else expected["code_length_bits"]
    return [Finding(report, f"{key} {value}", f"{key} {code[key]}") for key, value in expected.items() if code[key] != value]


def check_decoded(job, folder):
    """Decoding the message again gives the decoded model."""
    architecture = read_architecture(folder.path(job.inputs["architecture"]))
    data = folder.path(job.inputs["message"]).read_bytes()
    wanted = decode.rebuild(data, architecture, job.inputs["message"])
    (weights,) = (name for name in job.outputs if name.endswith(".safetensors"))
    found = load_file(folder.path(weights))
    different = sorted(set(wanted) ^ set(found)) or [key for key in wanted if not np.array_equal(wanted[key], found[key])]
    return [Finding(weights, f"what {job.inputs['message']} decodes to", f"{different[0]} differs")] if different else []


def check_bounds(jobs, folder, workers):
    """Every bound, computed again from its scores, in parallel."""
    findings = []
    with ProcessPoolExecutor(workers) as pool, progress(len(jobs), "bounds", "audit: bounds from their scores") as bar:
        for job, problem in zip(jobs, pool.map(_bound_problem, [(job, folder.root) for job in jobs])):
            findings += [Finding(next(iter(job.outputs)), *problem)] if problem else []
            bar.update(1)
    return findings


def check_certificate(job, folder):
    """Every number of the certificate follows from its scores, by other code than the one that made it, and its files are copies."""
    (name,) = (path for path in job.outputs if path.endswith("certificate.json"))
    beside, certificate = folder.path(name).parent, read_certificate(folder.path(name))
    problems = certificate_problems(beside, certificate) + _origin_problems(job, folder, certificate)
    findings = [Finding(name, f"{what} {wanted}", f"{stated}") for what, stated, wanted in problems]
    for copy, role in INPUTS.items():
        path, source = f"{Path(name).parent.as_posix()}/{copy}", job.inputs[role]
        if folder.sha256(path) != folder.sha256(source):
            findings.append(Finding(path, f"a copy of {source}, sha256 {folder.sha256(source)}", f"sha256 {folder.sha256(path)}"))
    return findings


def _origin_problems(job, folder, certificate):
    """What the certificate repeats of its checkpoint is what resolved.json says."""
    model = read_json(folder.path(job.inputs["model"]), "resolve")
    return [(key, certificate[key], model[key]) for key in ("checkpoint", "vocab_size", "n_params") if certificate[key] != model[key]]


def check_true_risk(job, folder):
    """The truth stands beside its own certificate, over all rows that this one is about, and no model is better than the oracle."""
    (name,) = job.outputs
    risk, certificate = read_json(folder.path(name), "true-risk"), read_json(folder.path(job.inputs["certificate"]), "certify")
    wanted = {"alpha": certificate["choice"]["point"]["alpha"], "tokens": certificate["tokens"], "certificate": certificate["value"]}
    wanted |= {"value": risk["means"]["smoothed_risk"], "margin": certificate["value"] - risk["value"]}
    found = [Finding(name, f"{key} {value}", f"{risk[key]}") for key, value in wanted.items() if risk[key] != value]
    least = min(risk["means"][key] for key in ("trained_risk", "decoded_risk", "smoothed_risk"))
    if not least >= risk["means"]["entropy"] - TOLERANCE:
        found.append(Finding(name, f"risks of at least the oracle's entropy {risk['means']['entropy']}", f"{least}"))
    return found


def check_certificates(job, folder):
    certificates = [read_certificate(folder.path(path)) for path in job.inputs.values() if path.endswith("certificate.json")]
    bounds = [read_bounds(folder.path(path)) for path in job.inputs.values() if path.endswith("bounds.json")]
    risks = [read_json(folder.path(path), "true-risk") for path in job.inputs.values() if path.endswith("true_risk.json")]
    return check_text(job, folder, certificates_text(certificates, bounds, job.settings["paper_quantizer"], risks, job.settings["untuned"]))


def check_table(job, folder):
    return check_text(job, folder, table_text(read_bounds(folder.path(path)) for path in job.inputs.values()))


def check_comparison(job, folder):
    """From the table of bounds and the published values, where their file is at hand."""
    if not folder.exists(job.inputs["published"]):
        return []
    published = read_published(folder.path(job.inputs["published"]))
    return check_text(job, folder, comparison_text(read_family_table(folder.path(job.inputs["table"])), published, job.settings["quantizer"]))


def check_text(job, folder, wanted, ending=".csv"):
    (table,) = (name for name in job.outputs if name.endswith(ending))
    found = folder.path(table).read_text(encoding="utf-8")
    for number, (left, right) in enumerate(zip(wanted.splitlines(), found.splitlines()), start=1):
        if left != right:
            cells = [(a, b) for a, b in zip(left.split(","), right.split(",")) if a != b] or [(left, right)]
            return [Finding(table, f"line {number}: {cells[0][0]} (from its inputs)", cells[0][1])]
    return [] if wanted == found else [Finding(table, f"{len(wanted.splitlines())} lines", f"{len(found.splitlines())} lines")]


def check_figure(job, folder):
    """Drawn again from the table: the same bytes, where matplotlib is the one that drew it.

    Returns findings and a note, one of which is empty.
    """
    png, pdf = (next(name for name in job.outputs if name.endswith(form)) for form in (".png", ".pdf"))
    identity = read_identity(folder.path(png))
    versions = {name: style.package_version(name) for name in identity["packages"]}
    if versions != identity["packages"]:
        return [], f"{png} not drawn again: made with {identity['packages']}, here {versions}"
    figure, place = job.settings["figure"], job.inputs["table"]
    drawn = figures.draw(figures.read_table_of(figure, folder.path(place)), figure, job.settings["quantizer"], place)
    with tempfile.TemporaryDirectory() as temporary:
        again = [Path(temporary) / "again.png", Path(temporary) / "again.pdf"]
        style.save(drawn, *again, identity)
        pairs = zip((png, pdf), again)
        return [Finding(name, "the figure of its table", "another") for name, path in pairs if path.read_bytes() != folder.path(name).read_bytes()], None


def _bound_problem(arguments):
    """(expected, found) of the first number that differs, or None; runs in a worker process."""
    job, root = arguments
    (name,) = job.outputs
    inputs = {key: Path(root) / path for key, path in job.inputs.items()}
    settings = {key: value for key, value in job.settings.items() if key != "quantizer"}
    wanted = evaluate_files(inputs, job.settings["quantizer"], settings)
    found = json.loads((Path(root) / name).read_text(encoding="utf-8"))
    found.pop("identity")
    return first_difference(wanted, found, "")


def first_difference(wanted, found, where):
    if isinstance(wanted, dict):
        if not isinstance(found, dict) or set(found) != set(wanted):
            return f"{where} with {sorted(wanted)}", str(found)[:200]
        problems = (first_difference(wanted[key], found[key], f"{where}.{key}".lstrip(".")) for key in wanted)
        return next((problem for problem in problems if problem), None)
    number = isinstance(wanted, float) and isinstance(found, (int, float))
    same = abs(wanted - found) <= TOLERANCE * max(1.0, abs(wanted)) if number else wanted == found
    return None if same else (f"{where} {wanted} (from its scores)", f"{found}")
