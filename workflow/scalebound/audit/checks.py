"""What can be said of artifacts that do not follow from files and settings alone: a model made them, or the network, or a seed.

Wheels against their pins, windows against the seed and the stream, messages against what was decoded from them, certificates
against their scores by code of its own. Each check takes a plan.rule.Job and a chain.Folder, and returns findings.
"""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from safetensors.numpy import load_file

from scalebound.artifacts.architecture import read_architecture
from scalebound.artifacts.certificate import read_certificate
from scalebound.artifacts.hessian import read_hessian
from scalebound.artifacts.provenance import read_json
from scalebound.artifacts.scores import read_pair_scores
from scalebound.artifacts.trajectory_scores import COLUMNS, read_trajectory
from scalebound.artifacts.windows import read as read_windows
from scalebound.audit.findings import Finding
from scalebound.commands import decode, spectra
from scalebound.commands.verify import INPUTS, certificate_problems
from scalebound.configuration.config import TrainingRun
from scalebound.corpus import documents, heldout, tokenizer
from scalebound.corpus.document_order import DocumentOrder
from scalebound.corpus.rows import open_rows
from scalebound.curvature.quadrature import described
from scalebound.quantization import message
from scalebound.quantization.storage import gptq_share
from scalebound.scoring import sampling
from scalebound.scoring.trajectory import draw, steps_of

TOLERANCE = 1e-9
DOCUMENTS_READ = 64  # of a stream, spread over all of it


def check_wheels(job, folder):
    pins = {wheel["file"]: wheel["sha256"] for wheel in job.settings["wheels"]}
    return [
        Finding(name, f"sha256 {pins[Path(name).name]} (pinned in the configuration)", f"sha256 {folder.sha256(name)}")
        for name in job.outputs
        if Path(name).name in pins and folder.sha256(name) != pins[Path(name).name]
    ]


def check_rows(job, folder):
    """In the order of the seed the rows hold as many documents as the manifest lists for training, and of some of these the very text."""
    name = next(path for path in job.outputs if path.endswith("tokens.bin"))
    rows, _ = open_rows(folder.path(name), folder.path(job.outputs[name]))
    listed = [row for row in documents.read_list(folder.path(job.inputs["documents"])) if row["split"] == "train"]
    order, made = DocumentOrder(rows, job.settings["row_seed"]), tokenizer.read(folder.path(job.inputs["tokenizer"]), rows.vocab_size)
    # what does not fill a last row is left out: the end of the last documents
    if not 0 <= len(listed) - order.whole <= rows.row_tokens:
        return [Finding(name, f"{len(listed)} documents for training", f"the ends of {order.whole}")]
    for number in np.linspace(0, order.whole - 1, min(order.whole, DOCUMENTS_READ)).astype(int):
        text = made.decode(order.tokens(number).tolist(), skip_special_tokens=False)
        if hashlib.sha256(text.encode()).hexdigest() != listed[number]["sha256"]:
            return [Finding(name, f"{listed[number]['path']} in the rows that the seed gives it", "other text")]
    return []


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


def check_scores_beside_references(job, folder):
    """What is checked of scores, and beside each window the latest model that had not seen its row, counted from the steps of its run."""
    (name,) = job.outputs
    if found := check_scores(job, folder):
        return found
    rows, _, drawn = read_windows(folder.path(job.inputs["windows"]))
    history = read_json(folder.path(job.inputs["history"]), "history")
    _, _, used, _ = read_pair_scores(folder.path(name), drawn["vocab_size"])
    for row, step in zip(rows.tolist(), used.tolist()):
        unseen = [reference["step"] for reference in history["references"] if row >= reference["step"] * history["rows_per_step"]]
        if step != max(unseen, default=0):
            return [Finding(name, f"row {row} beside the model of step {max(unseen, default=0)}", f"step {step}")]
    return []


def check_code(job, folder):
    """The stated code length is that of the file."""
    (report,) = (name for name in job.outputs if name.endswith(".json"))
    (sbq,) = (name for name in job.outputs if name.endswith(".sbq"))
    code, size = read_json(folder.path(report), message.CODE_STAGES), folder.path(sbq).stat().st_size
    expected = {"bytes": size, "code_length_bits": message.code_length_bits(size)}
    expected["coded_bits_per_param"] = expected["code_length_bits"] / code["n_params"]
    expected["nominal_bits"] = job.settings["bits"] * code["n_params"] if "bits" in job.settings else expected["code_length_bits"]
    if "codes" in job.inputs:
        expected["gptq_share"] = gptq_share(folder.path(job.inputs["codes"]))
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


def check_certificate(job, folder):
    """Every number of the certificate follows from its scores, by other code than the one that made it, and its files are copies."""
    (name,) = (path for path in job.outputs if path.endswith("certificate.json"))
    beside, certificate = folder.path(name).parent, read_certificate(folder.path(name))
    problems = certificate_problems(beside, certificate) + _origin_problems(job, folder, certificate)
    findings = [Finding(name, f"{what} {wanted}", f"{stated}") for what, stated, wanted in problems]
    for copy, role in INPUTS.items():
        path, source = f"{Path(name).parent.as_posix()}/{copy}", job.inputs.get(role)
        if source is None:
            # references that nothing has to bring along
            findings += [Finding(path, "no weights in it", "some")] if load_file(folder.path(path)) else []
        elif folder.sha256(path) != folder.sha256(source):
            findings.append(Finding(path, f"a copy of {source}, sha256 {folder.sha256(source)}", f"sha256 {folder.sha256(path)}"))
    return findings


def _origin_problems(job, folder, certificate):
    """What the certificate repeats of its checkpoint is what resolved.json says."""
    model = read_json(folder.path(job.inputs["model"]), "resolve")
    problems = [(key, certificate[key], model[key]) for key in ("checkpoint", "vocab_size", "n_params") if certificate[key] != model[key]]
    history = {k: v for k, v in read_json(folder.path(job.inputs["history"])).items() if k != "identity"} if "history" in job.inputs else None
    return problems + ([] if certificate["history"] == history else [("history", "another", f"that of {job.inputs.get('history')}")])


def check_true_risk(job, folder):
    """The truth stands beside its own certificate, over all rows that this one is about, and no model is better than the oracle."""
    (name,) = job.outputs
    risk, certificate = read_json(folder.path(name), "true-risk"), read_json(folder.path(job.inputs["certificate"]), "certify")
    wanted = {"alpha": certificate["choice"]["point"]["alpha"], "tokens": certificate["tokens"], "certificate": certificate["value"]}
    wanted |= {"value": risk["means"]["smoothed_risk"], "margin": certificate["value"] - risk["value"]}
    found = [Finding(name, f"{key} {value}", f"{risk[key]}") for key, value in wanted.items() if risk[key] != value]
    for stated, other in zip(risk["also"], certificate["also"], strict=True):
        wanted = {
            "method": other["settings"]["method"],
            "from": other["from"],
            "alpha": other["choice"]["point"]["alpha"],
            "tokens": other["tokens"],
            "certificate": other["value"],
        }
        wanted |= {"margin": other["value"] - stated["value"]}
        found += [Finding(name, f"beside it, {key} {value}", f"{stated[key]}") for key, value in wanted.items() if stated[key] != value]
    least = min(risk["means"][key] for key in ("trained_risk", "decoded_risk", "smoothed_risk"))
    if not least >= risk["means"]["entropy"] - TOLERANCE:
        found.append(Finding(name, f"risks of at least the oracle's entropy {risk['means']['entropy']}", f"{least}"))
    return found


def check_trajectory_scores(job, folder):
    """The steps are those that the run keeps, the rows of each those of its seed, and the scores one finite value for each target."""
    (name,) = job.outputs
    settings, (steps, _) = job.settings, read_trajectory(folder.path(name))
    run = TrainingRun(**settings["run"])
    wanted = steps_of(run, settings["last_step"], settings["max_points"])
    if [scores.step for scores in steps] != wanted:
        return [Finding(name, f"scores of the steps {wanted}", f"{[scores.step for scores in steps]}")]
    rows, _ = open_rows(folder.path(job.inputs["tokens"]), folder.path(job.inputs["stream"]))
    for scores in steps:
        if not np.array_equal(scores.rows, draw(run, scores.step, settings["windows"], settings["seed"])):
            return [Finding(name, f"at step {scores.step} the rows of seed {settings['seed']}", "other rows")]
        for column in COLUMNS:
            values = getattr(scores, column)
            if values.shape != (settings["windows"], rows.row_tokens - 1) or not np.isfinite(values).all() or values.min() < 0:
                return [Finding(name, f"finite, non-negative {column} of every target at step {scores.step}", f"{values.shape}, minimum {values.min()}")]
    return []


def check_heldout(job, folder):
    """The windows are those that the seed draws from the held-out documents, tokenized again where the wheels lie here."""
    (name,) = job.outputs
    ids, tokens, made_of = read_windows(folder.path(name))
    wheels = folder.path(job.inputs["documents"]).parent / "wheels"
    listed = documents.read_list(folder.path(job.inputs["documents"]))
    if not all((wheels / row["wheel"]).is_file() for row in listed if row["split"] == "heldout"):
        return []
    made = tokenizer.read(folder.path(job.inputs["tokenizer"]), made_of["vocab_size"])
    rows = heldout.heldout_rows(listed, wheels, made, job.settings["row_tokens"])
    wanted = heldout.draw(len(rows), job.settings["windows"], job.settings["seed"])
    if not np.array_equal(ids, wanted):
        return [Finding(name, f"the held-out rows of seed {job.settings['seed']}", "other rows")]
    return [] if np.array_equal(tokens, rows[wanted]) else [Finding(name, "tokens of the held-out documents", "other tokens")]


def check_references(job, folder):
    """One finite value for every target: what smoothing adds to the mean under the model is between its share of the least and the largest loss."""
    (name,) = job.outputs
    table = pq.read_table(folder.path(name))
    under, smoothed = (table[column].to_numpy() for column in ("under_model", "under_smoothed"))
    count = pq.read_metadata(folder.path(job.inputs["windows"])).num_rows
    if not len(under) or len(under) % count or not (np.isfinite(under).all() and np.isfinite(smoothed).all()):
        return [Finding(name, f"finite values for every target of {count} windows", f"{len(under)} rows, or others")]
    # the smoothed model expects more of its own loss than the model does of it: mass moves to where the loss is larger
    return [] if (smoothed >= under - 1e-4).all() else [Finding(name, "under_smoothed of at least under_model", f"{float((smoothed - under).min())} below it")]


def check_moments(job, folder):
    """Eigenvalues of second moments: finite, in order, none below zero beyond rounding."""
    (name,) = job.outputs
    return [] if spectra.read_spectra(folder.path(name)) else [Finding(name, "at least one layer", "none")]


def check_hessian(job, folder):
    """Nodes, weights and residuals follow from the recurrences; what is skipped is larger than the configuration allows."""
    (name,) = job.outputs
    found, model = read_hessian(folder.path(name)), read_json(folder.path(job.inputs["model"]), "resolve")
    wanted = {"checkpoint": model["checkpoint"]["slug"], "n_params": model["n_params"]}
    findings = [Finding(name, f"{key} {value}", f"{found[key]}") for key, value in wanted.items() if found[key] != value]
    if bool(found["probes"]) != (model["n_params"] <= job.settings["max_parameters"]):
        findings.append(Finding(name, f"computed up to {job.settings['max_parameters']} parameters and skipped beyond", found["status"]))
    if len(found["probes"]) not in (0, job.settings["probes"]):
        findings.append(Finding(name, f"{job.settings['probes']} probes", f"{len(found['probes'])}"))
    return findings + [problem for number, probe in enumerate(found["probes"]) for problem in _rule_problems(name, number, probe)]


def _rule_problems(name, number, probe):
    wanted = {key: np.asarray(values) for key, values in described(probe["alpha"], probe["beta"]).items()}
    scale = np.abs(wanted["nodes"]).max()
    sizes = {"nodes": scale, "weights": 1.0, "residuals": scale}
    same = {key: np.allclose(probe[key], values, rtol=0, atol=TOLERANCE * sizes[key]) for key, values in wanted.items()}
    return [Finding(name, f"{key} of probe {number} that follow from its recurrence", "others") for key, fits in same.items() if not fits]


CHECKS = {
    "fetch-corpus": check_wheels,
    "tokenize": check_rows,
    "sample": check_windows,
    "fetch-windows": check_windows,
    "score": check_scores,
    "score-references": check_scores_beside_references,
    "encode": check_code,
    "compress": check_code,
    "decode": check_decoded,
    "certify": check_certificate,
    "true-risk": check_true_risk,
    "score-trajectory": check_trajectory_scores,
    "heldout": check_heldout,
    "references": check_references,
    "moments": check_moments,
    "hessian": check_hessian,
}
