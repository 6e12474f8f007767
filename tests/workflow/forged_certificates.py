"""Certificates that somebody made to say less than they may, with every digest made to fit."""

import copy
import dataclasses
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scalebound.artifacts.architecture import read_architecture
from scalebound.artifacts.parquet import identity_of, write_parquet
from scalebound.artifacts.provenance import file_sha256
from scalebound.artifacts.scores import read_scores
from scalebound.artifacts.windows import row_digest, token_digest
from scalebound.bounds.ceilings import Grids, family_of
from scalebound.bounds.certificate import CertificateSettings, certify, split
from scalebound.bounds.linearization import room_under
from scalebound.bounds.recheck import recompute
from scalebound.bounds.token_scores import TokenScores
from scalebound.quantization import message as messages
from scalebound.quantization.rate import message, storage
from scalebound.scoring.sampling import draw_rows

FILES = {"model.sbq": "message", "architecture.json": "architecture", "windows.parquet": "windows", "scores.parquet": "scores"}


class Forged:
    """The certificate in a folder: changed, computed again as if all were in order, and saved with digests that fit.

    codes: codes.safetensors of the model that was certified.
    """

    def __init__(self, folder, codes):
        self.folder, self.codes = folder, codes
        self.content = json.loads((folder / "certificate.json").read_text())

    def scores(self):
        return read_scores(self.folder / "scores.parquet")[:2]

    def settings(self, **changes):
        used = self.content["settings"]
        return CertificateSettings(**{**used, "grids": Grids(**used["grids"]), **changes})

    def certify(self, code_length_bits=None, **settings):
        """All numbers again, from the scores that lie there now."""
        bits = code_length_bits or self.content["code_length_bits"]
        done = certify(*self.scores(), self.content["vocab_size"], self.content["tokens"], bits, self.settings(**settings))
        self.content |= json.loads(json.dumps(done))

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
    settings, c = forged.settings(), forged.content["C"]
    _, rest = split(TokenScores(*forged.scores(), forged.content["vocab_size"]), settings.pilot_share)
    family, choice = family_of(settings.method, settings.grids), copy.deepcopy(forged.content["choice"])
    choice["weight"] *= 0.97
    bounded = room_under(family, choice["point"], rest).linearized(choice["weight"], c)
    forged.content |= {"choice": choice, "range": {"low": bounded.low, "high": bounded.high}}
    _state_what_follows(forged)


def _state_what_follows(forged):
    """Every number as the independent code has it, so that none is left that disagrees."""
    for dotted, value in recompute(*forged.scores(), forged.content).items():
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
    tensors = storage.read(forged.codes)
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
    vocabulary_of_another_size: ("vocab_size", "vocab_size"),
    approximate_windows_called_unbiased: ("sampling", "sampling"),
    approximate_windows_called_so: ("sampling of the windows", "sampling of the windows"),
    approximate_scores: ("sampling of the scores", "sampling of the scores"),
    a_number_that_is_none: ("value", "value"),
}
