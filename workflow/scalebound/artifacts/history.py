"""`history.json`: the earlier models of a checkpoint's run, its references, and which rows each of them had seen."""

from dataclasses import dataclass

from scalebound.artifacts.provenance import check_keys, read_json
from scalebound.bounds.earlier import first_unseen_row, reference_steps
from scalebound.errors import InputError


@dataclass(frozen=True)
class History:
    """`rows_per_step`; `references`, a dict by step, ascending: {"step", "first_row"}, and of a released one "hub" and "files";
    `averages` {"sha256", "bytes"} of the file that holds those of a run trained here, or None."""

    rows_per_step: int
    references: dict
    averages: dict | None

    def steps_of(self, rows):
        """The step of the reference of each row, 0 where it is the uniform distribution."""
        return reference_steps(rows, list(self.references), self.rows_per_step)


def read_history(path):
    """The History in a file.

    Raises:
        InputError: unreadable, steps out of order, or a row from which on a reference serves that is not the first that it has not seen.
    """
    return history_of(read_json(path, "history"), path)


def history_of(value, path):
    """The History of the content of a file, which may be part of another. Raises what `read_history` does."""
    check_keys(value, {"rows_per_step": int, "references": list, "averages": dict}, path)
    for reference in value["references"]:
        check_keys(reference, {"step": int, "first_row": int}, path)
        if "hub" in reference:
            check_keys(reference, {"hub": dict, "files": list}, path)
        wanted = first_unseen_row(reference["step"], value["rows_per_step"])
        if reference["first_row"] != wanted:
            found = f"the model of step {reference['step']} as a reference from row {reference['first_row']} on, it has not seen those from {wanted} on"
            raise InputError(path, found, "Delete it and let snakemake make it again")
    steps = [reference["step"] for reference in value["references"]]
    if steps != sorted(set(steps)) or (steps and steps[0] < 1):
        raise InputError(path, f"steps {steps}", "They are positive and ascending: delete it and let snakemake make it again")
    return History(value["rows_per_step"], {reference["step"]: reference for reference in value["references"]}, value["averages"] or None)
