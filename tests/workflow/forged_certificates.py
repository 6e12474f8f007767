"""Certificates that somebody made to say less than they may, with every digest made to fit."""

import copy
import dataclasses
import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.numpy import load_file, save_file

from scalebound.artifacts.architecture import read_architecture
from scalebound.artifacts.certificate import statements
from scalebound.artifacts.history import history_of
from scalebound.artifacts.parquet import identity_of, write_parquet
from scalebound.artifacts.provenance import file_sha256
from scalebound.artifacts.scores import largest_names, read_pair_scores, read_scores
from scalebound.artifacts.windows import row_digest, token_digest
from scalebound.bounds.ceilings import family_of, grids_of
from scalebound.bounds.certificate import CertificateSettings, certify_scores, chosen_weight, split
from scalebound.bounds.earlier import reference_steps
from scalebound.bounds.recheck_online import recompute
from scalebound.bounds.token_scores import TokenScores
from scalebound.commands.decode import write_model
from scalebound.models import loading
from scalebound.models.references import References
from scalebound.quantization import message as messages
from scalebound.quantization.rate import message, storage
from scalebound.scoring import beside_reference
from scalebound.scoring.sampling import draw_rows

FILES = {"model.sbq": "message", "architecture.json": "architecture", "windows.parquet": "windows", "scores.parquet": "scores"}
FILES |= {"references.safetensors": "averages"}


class Forged:
    """The certificate in a folder: changed, computed again as if all were in order, and saved with digests that fit.

    codes: codes.safetensors of the model that was certified.
    """

    def __init__(self, folder, codes):
        self.folder, self.codes = folder, codes
        self.content = json.loads((folder / "certificate.json").read_text())

    def scores(self):
        return read_scores(self.folder / "scores.parquet")[:2]

    def pairs(self):
        """(`OnlineScores`, steps of the references)."""
        scores, _, steps, _ = read_pair_scores(self.folder / "scores.parquet", self.content["vocab_size"])
        return scores, steps

    def rows(self):
        return pq.read_table(self.folder / "windows.parquet")["row"].to_numpy()

    def settings(self, statement=None, **changes):
        used = (statement or self.content)["settings"]
        return CertificateSettings(**{**used, "grids": grids_of(used["method"], used["grids"]), **changes})

    def certify(self, code_length_bits=None, **settings):
        """All numbers of all statements again, from the scores that lie there now."""
        bits, plain = code_length_bits or self.content["code_length_bits"], TokenScores(*self.scores(), self.content["vocab_size"])
        for statement in statements(self.content):
            scores = self.pairs()[0] if statement["settings"]["method"] == "online" else plain
            there = scores.of(self.rows() >= statement["first_row"])
            done = certify_scores(there, statement["tokens"], bits, self.settings(statement, **settings))
            statement |= json.loads(json.dumps(done))

    def rewrite(self, name, columns, **facts):
        """Replace columns ({name: array}) of a parquet file, and facts of its identity."""
        path = self.folder / name
        table = pq.read_table(path)
        for column, values in columns.items():
            place = table.schema.get_field_index(column)
            table = table.set_column(place, table.schema.field(place), pa.array(values, type=table.schema.field(place).type))
        write_parquet(path, table, {**identity_of(table, path), **facts})

    def save(self):
        """The files that the certificate lists, and those that its identity was made from, are those that lie there."""
        for file in self.content["files"]:
            path = self.folder / file["name"]
            file |= {"sha256": file_sha256(path), "bytes": path.stat().st_size}
        for name, role in FILES.items():
            self.content["identity"]["inputs"][role]["sha256"] = file_sha256(self.folder / name)
        if self.content["history"]["averages"]:
            self.content["history"]["averages"]["sha256"] = file_sha256(self.folder / "references.safetensors")
        (self.folder / "certificate.json").write_text(json.dumps(self.content))


def value_lowered(forged):
    forged.content["value"] -= 0.05


def value_and_its_kin_lowered(forged):
    """In every place where it is written, and in the term that makes up for it."""
    forged.content["value"] -= 0.05
    forged.content["values"]["betting"] -= 0.05
    forged.content["terms"]["sampling"] -= 0.05


def code_length_lowered(forged):
    forged.certify(code_length_bits=forged.content["code_length_bits"] - 800)


def grid_point_off_its_grid(forged):
    forged.content["choice"]["point"]["alpha"] *= 1.01


def pilot_share_changed(forged):
    forged.certify(pilot_share=0.3)


def pilot_share_changed_in_the_identity_too(forged):
    pilot_share_changed(forged)
    forged.content["identity"]["settings"]["pilot_share"] = 0.3


def least_of_the_values_taken(forged):
    forged.content["values"]["hoeffding"] = forged.content["value"] - 0.1
    forged.content["value"] = min(forged.content["values"].values())


def another_confidence_bound_named_afterwards(forged):
    forged.certify(confidence="empirical_bernstein")


def fewer_failures_promised(forged):
    forged.content["settings"]["draw_failure_probability"] = 0.05


def weight_chosen_on_the_rest(forged):
    """All follows from the choice, as stated; the choice itself has looked at what it is judged on."""
    _choose_after_all(forged, "weight")


def reference_weight_chosen_on_the_rest(forged):
    _choose_after_all(forged, "reference_weight")


def _choose_after_all(forged, name):
    settings = forged.settings()
    family, choice = family_of(settings.method, settings.grids), copy.deepcopy(forged.content["choice"])
    _, rest = split(forged.pairs()[0], settings.pilot_share)
    choice[name] *= 0.97
    c = np.array([forged.content[key] for key in family.complexity_names])
    bounded = family.room(choice["point"], rest).linearized(chosen_weight(family, choice), c)
    # a bet that the wider range leaves possible
    choice["bet_ceiling"] = max(choice["bet_ceiling"], 1.01 * bounded.width)
    forged.content |= {"choice": choice, "range": {"low": bounded.low, "high": bounded.high}}
    _state_what_follows(forged)


def _state_what_follows(forged):
    """Every number as the independent code has it, so that none is left that disagrees."""
    pairs, _ = forged.pairs()
    for dotted, value in recompute(pairs.nll, pairs.reference_nll, pairs.largest, forged.content).items():
        *path, last = dotted.split(".")
        place = forged.content
        for key in path:
            place = place[key]
        place[last] = value if isinstance(value, int) else float(value)


def windows_of_other_rows(forged):
    """Rows of another seed under the name of the right one; tokens and scores are taken as they are."""
    rows = draw_rows(_drawn(forged)["settings"]["rows_seen"], _drawn(forged)["settings"]["windows"], 5)
    _replace_rows(forged, rows)


def windows_of_another_seed(forged):
    settings = {**_drawn(forged)["settings"], "seed": 5}
    _replace_rows(forged, draw_rows(settings["rows_seen"], settings["windows"], 5), settings=settings)


def _drawn(forged):
    path = forged.folder / "windows.parquet"
    return identity_of(pq.read_table(path), path)


def _replace_rows(forged, rows, **facts):
    forged.rewrite("windows.parquet", {"row": rows}, rows_sha256=row_digest(rows), **facts)
    _scored_on_these(forged)


def _scored_on_these(forged):
    path = forged.folder / "scores.parquet"
    inputs = identity_of(pq.read_table(path), path)["inputs"]
    inputs["windows"]["sha256"] = file_sha256(forged.folder / "windows.parquet")
    forged.rewrite("scores.parquet", {}, inputs=inputs)


def scores_of_other_tokens(forged):
    """Windows of which the last tokens were exchanged: rows and digests are in order, the scores belong to what was there."""
    tokens = np.stack(pq.read_table(forged.folder / "windows.parquet")["tokens"].to_numpy(zero_copy_only=False))[:, ::-1].copy()
    forged.rewrite("windows.parquet", {"tokens": list(tokens)}, tokens_sha256=token_digest(tokens))


def better_scores(forged):
    nll, _ = forged.scores()
    forged.rewrite("scores.parquet", {"nll": (nll * 0.95).astype(np.float32).ravel()})
    forged.certify()


def message_of_another_model(forged):
    """The codes of one tensor are turned round: a model of the same shape, in a message that decodes."""
    tensors = dict(storage.read(forged.codes))
    name = max(tensors, key=lambda key: tensors[key].codes.size)
    tensors[name] = dataclasses.replace(tensors[name], codes=np.ascontiguousarray(tensors[name].codes[::-1]))
    architecture = read_architecture(forged.folder / "architecture.json")
    data, _ = message.encode(tensors, architecture)
    (forged.folder / "model.sbq").write_bytes(data)
    bits = messages.code_length_bits(len(data))
    forged.certify(code_length_bits=bits)
    forged.content |= {"bytes": len(data), "coded_bits_per_param": bits / architecture["n_params"]}


def another_number_of_training_tokens(forged):
    forged.content["tokens"] *= 2
    forged.certify()


def later_part_that_begins_earlier(forged):
    """The second half with the number of predictions of the whole: its code seems to cost half."""
    part = forged.content["also"][0]
    part["tokens"] = forged.content["tokens"]
    forged.certify()


def later_part_of_other_rows(forged):
    forged.content["also"][0]["first_row"] += 50
    forged.certify()


def statement_beside_lowered(forged):
    forged.content["also"][0]["value"] -= 0.05
    forged.content["also"][0]["values"]["betting"] -= 0.05
    forged.content["also"][0]["terms"]["sampling"] -= 0.05


def statements_beside_left_out(forged):
    forged.content["also"] = []


def a_window_beside_a_later_reference(forged):
    """The scores are taken as they are; the window of the earliest row is said to have the last reference."""
    steps = forged.pairs()[1].copy()
    steps[forged.rows().argmin()] = forged.content["history"]["references"][-1]["step"]
    _state_steps(forged, steps)


def references_that_have_seen_their_rows(forged):
    """Every window truly scored beside the last reference, whatever its row."""
    steps = np.full(len(forged.rows()), forged.content["history"]["references"][-1]["step"])
    _score_beside(forged, steps)


def steps_relabelled(forged):
    """Each reference is called half as old as it is, so that it may serve rows that it has seen, and does."""
    history = forged.content["history"]
    weights, halved = load_file(forged.folder / "references.safetensors"), {}
    for reference in history["references"]:
        step = reference["step"] // 2
        halved |= {f"{step}/{name.partition('/')[2]}": array for name, array in weights.items() if name.startswith(f"{reference['step']}/")}
        reference |= {"step": step, "first_row": step * history["rows_per_step"]}
    history["references"] = list({reference["step"]: reference for reference in history["references"]}.values())
    save_file(halved, forged.folder / "references.safetensors")
    _score_beside(forged, reference_steps(forged.rows(), [reference["step"] for reference in history["references"]], history["rows_per_step"]))


def fewer_rows_a_step(forged):
    """With half as many rows a step, each reference may serve rows that it has seen."""
    history = forged.content["history"]
    history["rows_per_step"] //= 2
    for reference in history["references"]:
        reference["first_row"] = reference["step"] * history["rows_per_step"]
    _score_beside(forged, reference_steps(forged.rows(), [reference["step"] for reference in history["references"]], history["rows_per_step"]))


def other_references(forged):
    """The weights of two steps change places in the file, all digests made to fit; the scores are taken as they are."""
    weights, steps = load_file(forged.folder / "references.safetensors"), [reference["step"] for reference in forged.content["history"]["references"]]
    names = {steps[-1]: steps[-3], steps[-3]: steps[-1]}
    exchanged = {f"{names.get(int(name.split('/')[0]), name.split('/')[0])}/{name.partition('/')[2]}": array for name, array in weights.items()}
    save_file(exchanged, forged.folder / "references.safetensors")
    _scored_beside_these(forged)


def better_references(forged):
    pairs, _ = forged.pairs()
    columns = {"reference_nll": pairs.reference_nll * 0.97}
    columns |= {name: m + 0.03 * pairs.reference_nll for name, m in zip(largest_names(pairs.alphas), pairs.largest)}
    forged.rewrite("scores.parquet", {name: column.astype(np.float32).ravel() for name, column in columns.items()})
    forged.certify()


def smaller_largest_differences(forged):
    pairs, _ = forged.pairs()
    observed = [pairs.differences(alpha) for alpha in pairs.alphas]
    lowered = {name: np.maximum(m - 0.2, z).clip(min=0) for name, m, z in zip(largest_names(pairs.alphas), pairs.largest, observed)}
    forged.rewrite("scores.parquet", {name: column.astype(np.float32).ravel() for name, column in lowered.items()})
    forged.certify()


def _state_steps(forged, steps, columns=()):
    positions = forged.content["windows"]["positions"]
    forged.rewrite("scores.parquet", dict(columns) | {"reference": np.repeat(steps, positions).astype(np.int32)})


def _scored_beside_these(forged):
    """The scores say that they were made beside the references that lie there."""
    path = forged.folder / "scores.parquet"
    inputs = identity_of(pq.read_table(path), path)["inputs"]
    inputs["averages"]["sha256"] = file_sha256(forged.folder / "references.safetensors")
    forged.rewrite("scores.parquet", {}, inputs=inputs)


def _score_beside(forged, steps):
    """Scores beside the references of these steps, by the weights that lie there, and the certificate that follows."""
    _scored_beside_these(forged)
    forged.content["history"]["averages"]["sha256"] = file_sha256(forged.folder / "references.safetensors")
    tokens = np.stack(pq.read_table(forged.folder / "windows.parquet")["tokens"].to_numpy(zero_copy_only=False))
    with tempfile.TemporaryDirectory() as folder:
        write_model((forged.folder / "model.sbq").read_bytes(), read_architecture(forged.folder / "architecture.json"), Path(folder), "forged")
        model = loading.read_model(folder, torch.device("cpu"), "float32")
        known = history_of(forged.content["history"], "forged")
        references = References(
            known, "forged", forged.folder / "references.safetensors", {"folder": folder}, torch.device("cpu"), "float32", tokens.shape[1] - 1
        )
        groups = [(np.flatnonzero(steps == step), model) for step, model in references.models(np.unique(steps).tolist())]
        pairs, _ = forged.pairs()
        found = beside_reference.score(model, groups, tokens, pairs.alphas, None, "forged")
    columns = {"reference_nll": found.reference_nll.ravel()} | {n: x.ravel() for n, x in zip(largest_names(pairs.alphas), found.largest)}
    _state_steps(forged, steps, columns)
    forged.certify()


def vocabulary_of_another_size(forged):
    forged.content["vocab_size"] -= 20
    forged.certify()


def approximate_windows_called_unbiased(forged):
    forged.rewrite("windows.parquet", {}, sampling="approximate")
    _scored_on_these(forged)


def approximate_windows_called_so(forged):
    """An honest certificate of an approximation is none all the same."""
    approximate_windows_called_unbiased(forged)
    forged.rewrite("scores.parquet", {}, sampling="approximate")
    forged.content |= {"sampling": "approximate", "holds_for": "an approximation of the training stream"}


def approximate_scores(forged):
    forged.rewrite("scores.parquet", {}, sampling="approximate")


def a_number_that_is_none(forged):
    forged.content["value"] = forged.content["values"]["betting"] = math.nan


# what was done: words by which `scalebound verify` names it, and the audit; None where it cannot know
ATTACKS = {
    value_lowered: ("value", "value"),
    value_and_its_kin_lowered: ("values.betting", "values.betting"),
    code_length_lowered: ("code_length_bits", "code_length_bits"),
    grid_point_off_its_grid: ("alpha is not on its grid", "alpha is not on its grid"),
    pilot_share_changed: ("setting pilot_share", "setting pilot_share"),
    # the configuration lies beside the results, not beside the certificate
    pilot_share_changed_in_the_identity_too: (None, "setting pilot_share = 0.1 (configuration)"),
    least_of_the_values_taken: ("value", "value"),
    another_confidence_bound_named_afterwards: ("setting confidence", "setting confidence"),
    fewer_failures_promised: ("setting draw_failure_probability", "setting draw_failure_probability"),
    weight_chosen_on_the_rest: ("choice.weight", "choice.weight"),
    windows_of_other_rows: ("rows of the draw", "rows of the draw"),
    windows_of_another_seed: (None, "a copy of"),
    scores_of_other_tokens: ("windows of the scores", "windows of the scores"),
    # the audit runs no model
    better_scores: ("a token differs", None),
    message_of_another_model: ("a token differs", "a copy of"),
    another_number_of_training_tokens: ("tokens", "tokens"),
    later_part_that_begins_earlier: ("tokens", "tokens"),
    later_part_of_other_rows: ("first_row", "first_row"),
    statement_beside_lowered: ("beside, method online from 0.5: values.betting", "values.betting"),
    statements_beside_left_out: ("methods and parts of the stream", "methods and parts of the stream"),
    a_window_beside_a_later_reference: ("it has seen it", "it has seen it"),
    references_that_have_seen_their_rows: ("it has seen it", "it has seen it"),
    # who has the folder alone cannot know when weights were kept; training's own list can
    steps_relabelled: (None, "history that of"),
    fewer_rows_a_step: ("rows of a step", "rows of a step"),
    other_references: ("a token differs under its reference", "a copy of results/training"),
    better_references: ("a token differs under its reference", None),
    smaller_largest_differences: ("a largest difference is too small", None),
    reference_weight_chosen_on_the_rest: ("choice.reference_weight", "choice.reference_weight"),
    vocabulary_of_another_size: ("vocab_size", "vocab_size"),
    approximate_windows_called_unbiased: ("sampling", "sampling"),
    approximate_windows_called_so: ("sampling of the windows", "sampling of the windows"),
    approximate_scores: ("sampling of the scores", "sampling of the scores"),
    a_number_that_is_none: ("value", "value"),
}
