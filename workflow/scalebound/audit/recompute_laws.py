"""Numbers of the laws and of the ablations again, each from the artifacts that it was made of."""

import io

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from scalebound.artifacts.family_tables import LOSS_CURVES, read_family_table
from scalebound.artifacts.provenance import read_json
from scalebound.audit.findings import Finding
from scalebound.audit.recompute import check_text, first_difference
from scalebound.commands.ablate import ablated
from scalebound.commands.ablations import ablations_text
from scalebound.commands.gap_law import gap_texts
from scalebound.commands.information import information_text
from scalebound.commands.loss_curves import curves_text
from scalebound.commands.overtraining import overtraining_text
from scalebound.commands.scaling_law import law_text
from scalebound.configuration.config import Bound
from scalebound.configuration.studies import Ablations, Extrapolation, Information

FIT_TOLERANCE = 1e-2  # relative: optimizers end elsewhere in the same flat valley on another machine


def check_loss_curves(job, folder):
    losses = [folder.path(path) for path in job.inputs.values() if path.endswith("loss.parquet")]
    return check_text(job, folder, curves_text(job.settings["rows"], {name: folder.path(job.inputs[name]) for name in ("bounds", "trajectory")}, losses))


def check_scaling_law(job, folder):
    (name,) = (path for path in job.outputs if path.endswith(".csv"))
    wanted = pd.read_csv(io.StringIO(law_text(read_family_table(folder.path(job.inputs["curves"]), LOSS_CURVES), Information(**job.settings))))
    found = pd.read_csv(folder.path(name))
    if list(wanted.columns) != list(found.columns) or list(wanted["law"]) != list(found["law"]):
        return [Finding(name, f"laws {list(wanted['law'])}", f"{list(found['law'])}")]
    for column in wanted.select_dtypes("number"):
        close = np.isclose(wanted[column], found[column], rtol=FIT_TOLERANCE, atol=0, equal_nan=True)
        if not close.all():
            row = int(np.argmin(close))
            return [Finding(name, f"{column} {wanted[column][row]:.6g} of {wanted['law'][row]} (fitted again)", f"{found[column][row]:.6g}")]
    return []


def check_information(job, folder):
    inputs = {name: folder.path(path) for name, path in job.inputs.items()}
    return check_text(job, folder, information_text(inputs.pop("curves"), inputs.pop("laws"), inputs, Bound(**job.settings)))


def check_gap_law(job, folder):
    """Where the table of published models is at hand: it is a file of the configuration, not of the results."""
    if not folder.exists(job.inputs["models"]):
        return []
    texts = gap_texts({name: folder.path(path) for name, path in job.inputs.items()}, job.settings["quantizer"], _extrapolation(job))
    return [finding for ending, text in zip(("gap_law.csv", "gap_exponents.csv"), texts) for finding in check_text(job, folder, text, ending)]


def check_overtraining(job, folder):
    if not folder.exists(job.inputs["models"]):
        return []
    inputs = {name: folder.path(path) for name, path in job.inputs.items()}
    return check_text(job, folder, overtraining_text(inputs, job.settings["quantizer"], _extrapolation(job)))


def _extrapolation(job):
    return Extrapolation(**{name: value for name, value in job.settings.items() if name != "quantizer"})


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


def check_ablate(job, folder):
    (name,) = job.outputs
    settings = {key: value for key, value in job.settings.items() if key != "bound"}
    wanted = ablated({key: folder.path(path) for key, path in job.inputs.items()}, Bound(**job.settings["bound"]), Ablations(**settings))
    found = read_json(folder.path(name), "ablate")["rows"]
    if len(wanted) != len(found):
        return [Finding(name, f"{len(wanted)} variants", f"{len(found)}")]
    problems = (first_difference(left, right, f"{left['ablation']} {left['setting']}") for left, right in zip(wanted, found))
    problem = next((problem for problem in problems if problem), None)
    return [Finding(name, *problem)] if problem else []


def check_ablations(job, folder):
    return check_text(job, folder, ablations_text([folder.path(path) for path in job.inputs.values()]))


CHECKS = {
    "loss-curves": check_loss_curves,
    "scaling-law": check_scaling_law,
    "information": check_information,
    "gap-law": check_gap_law,
    "overtraining": check_overtraining,
    "references": check_references,
    "ablate": check_ablate,
    "ablations": check_ablations,
}
