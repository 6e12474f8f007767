"""Numbers of the studies quantizability and curvature again: each table from the artifacts that it was made of."""

import numpy as np

from scalebound.artifacts.family_tables import read_family_table
from scalebound.artifacts.hessian import read_hessian
from scalebound.artifacts.provenance import read_json
from scalebound.audit.findings import Finding
from scalebound.audit.recompute import TOLERANCE, check_text
from scalebound.commands import spectra
from scalebound.commands.hessian_nodes import nodes_text
from scalebound.commands.hessian_summary import summary_text
from scalebound.commands.quantizability import LOSSES, quantizability_text
from scalebound.curvature.quadrature import described


def check_quantizability(job, folder):
    return check_text(job, folder, quantizability_text(read_family_table(folder.path(job.inputs["table"]), LOSSES), job.settings["methods"]))


def check_moments(job, folder):
    """Eigenvalues of second moments: finite, in order, none below zero beyond rounding."""
    (name,) = job.outputs
    return [] if spectra.read_spectra(folder.path(name)) else [Finding(name, "at least one layer", "none")]


def check_spectra(job, folder):
    models, parquets = ([folder.path(path) for path in job.inputs.values() if path.endswith(end)] for end in ("resolved.json", "spectra.parquet"))
    pairs = [(spectra.read_model(model), spectra.read_spectra(path)) for model, path in zip(models, parquets)]
    return check_text(job, folder, spectra.spectra_text(pairs))


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


def check_hessian_summary(job, folder):
    return check_text(job, folder, summary_text([read_hessian(folder.path(path)) for path in job.inputs.values()]))


def check_hessian_nodes(job, folder):
    return check_text(job, folder, nodes_text([read_hessian(folder.path(path)) for path in job.inputs.values()]))


CHECKS = {
    "quantizability": check_quantizability,
    "moments": check_moments,
    "spectra": check_spectra,
    "hessian": check_hessian,
    "hessian-summary": check_hessian_summary,
    "hessian-nodes": check_hessian_nodes,
}
