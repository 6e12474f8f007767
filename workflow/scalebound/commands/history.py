"""Name the references of a checkpoint: earlier models of its run, each with the first row that it has not seen."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from scalebound.artifacts.provenance import check_keys, describe_files, file_sha256, read_json
from scalebound.bounds.earlier import first_unseen_row
from scalebound.commands.stage import Many
from scalebound.configuration.types import Model
from scalebound.errors import InputError, first_line
from scalebound.hub.weight_files import is_weight_file

GROUP = "checkpoints"

INPUTS = {
    "model": "resolved.json of the checkpoint",
    "listing": Many("checkpoints.json of the run, where it was trained here"),
    "averages": Many("averages.safetensors beside it"),
    "resolved": Many("resolved.json of each released reference"),
}
OUTPUTS = {"out": "history.json"}
PACKAGES = []


class Settings(Model):
    """The steps of the references, ascending, and the rows that each step of the run reads; the step of the checkpoint itself."""

    step: int
    steps: list[int]
    rows_per_step: int


SETTINGS = Settings


def said(made):
    references = made["out"]["references"]
    return f"{len(references)} references, of steps {references[0]['step']} to {references[-1]['step']}"


def compute(inputs, settings):
    """The content of history.json.

    Raises:
        InputError: a step that is not before the checkpoint's, or files that are not those of the steps.
    """
    if not settings.steps or settings.steps != sorted(set(settings.steps)) or not 0 < settings.steps[0] <= settings.steps[-1] < settings.step:
        found = f"references of steps {settings.steps} for a checkpoint of step {settings.step}"
        raise InputError("--settings", found, "A reference is an earlier model: its step is before that of the checkpoint")
    references = [{"step": step, "first_row": first_unseen_row(step, settings.rows_per_step)} for step in settings.steps]
    averages = _averages(inputs, settings.steps) if inputs["averages"] else {}
    if not averages:
        references = [reference | _released(path, reference["step"]) for reference, path in zip(references, inputs["resolved"], strict=True)]
        _check_weights(references, read_json(inputs["model"], "resolve", {"files": list}), inputs["resolved"])
    return {"out": {"rows_per_step": settings.rows_per_step, "references": references, "averages": averages}}


def _averages(inputs, steps):
    (listing,), (averages,) = inputs["listing"], inputs["averages"]
    listed = {}
    for file in read_json(listing, "train", {"files": list})["files"]:
        check_keys(file, {"name": str, "sha256": str}, listing)
        listed[file["name"]] = file["sha256"]
    if listed.get(Path(averages).name) != (found := file_sha256(averages)):
        raise InputError(averages, f"sha256 {found}, {listing} says {listed.get(Path(averages).name)}", "It is not what training wrote: train the run again")
    try:
        with safe_open(averages, framework="numpy") as file:
            kept = {int(name.partition("/")[0]) for name in file.keys()}  # noqa: SIM118 (safe_open is not iterable)
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(averages, f"no averages by step ({first_line(error)})", "Train the run again") from None
    if missing := sorted(set(steps) - kept):
        raise InputError(averages, f"no weights of step {missing[0]} in it", "Train the run again, or name a step that it keeps")
    (described,) = describe_files(Path(averages).parent, [Path(averages).name])
    return {"sha256": described["sha256"], "bytes": described["bytes"]}


def _released(path, step):
    resolved = read_json(path, "resolve", {"hub": dict, "files": list, "checkpoint": dict})
    check_keys(resolved["checkpoint"], {"step": int}, path)
    if resolved["checkpoint"]["step"] != step:
        raise InputError(path, f"of step {resolved['checkpoint']['step']}, wanted is {step}", "Give the file of this reference")
    return {"hub": resolved["hub"], "files": resolved["files"]}


def _check_weights(references, model, paths):
    """No two steps hold one weight file: one of them would be a wrong upload, and a reference that is a later model has seen its rows."""
    seen = {file["sha256"]: "the checkpoint" for file in model["files"] if is_weight_file(file["name"])}
    for reference, path in zip(references, paths):
        for file in reference["files"]:
            if is_weight_file(file["name"]):
                if other := seen.get(file["sha256"]):
                    found = f"{file['name']} of step {reference['step']} is also that of {other}"
                    raise InputError(path, found, "One of the two is a wrong upload: lower history.references, or name another repository")
                seen[file["sha256"]] = f"step {reference['step']}"
