"""The table of checkpoints: one row is one model at one step, with the stream that it saw."""

import difflib
import hashlib
import json
import re
from typing import Literal

from pydantic import Field, model_validator

from scalebound.configuration.config import parse
from scalebound.configuration.streams import MADE_HERE
from scalebound.configuration.tab_separated import read_rows
from scalebound.configuration.types import REPO, REVISION, WORDS, LocalPath, Model, Slug, spelled
from scalebound.errors import InputError
from scalebound.hub.branches import step_of

RowRevision = spelled(REVISION + r"|^-$", f"{WORDS[REVISION]}; `-` for a local folder")
Note = spelled(r"^[^\t\r\n]*$", "write one line without tabs")


class Checkpoint(Model):
    """One row of `checkpoints.tsv`; `config/README.md` explains each column."""

    slug: Slug
    family: Slug
    source: Literal["trained", "hub", "local"] = Field(description="where the weights come from")
    repo: LocalPath = Field(description="trained: the training run; hub: owner/name; local: a folder with config.json and safetensors")
    revision: RowRevision = Field(description="trained: `step` and the step; hub: branch, tag or commit; local: `-`")
    step: int = Field(ge=1)
    tokens_seen: int = Field(ge=1, description="distinct predictions that the optimizer has seen: n of the bounds")
    stream: Slug
    note: Note = Field("", max_length=500, description="what a reader of the tables should know; optional column")

    @model_validator(mode="after")
    def _repo_of_the_source(self):
        if self.source == "hub" and not re.match(REPO, self.repo):
            raise ValueError(f"repo {self.repo!r} is not owner/name, which source hub needs")
        if (self.source == "local") != (self.revision == "-"):
            raise ValueError(f"revision {self.revision!r} with source {self.source}: a local folder has the revision -, anything else has one of its own")
        return self


COLUMNS = tuple(Checkpoint.model_fields)
OPTIONAL = ("note",)
_INTEGERS = ("step", "tokens_seen")
_AGAIN = "what is seen again not counted"
_WHOLE = re.compile(r"[0-9]{1,18}")


def read_table(path):
    """All rows of a tab-separated table, in order.

    Raises:
        InputError: unknown or missing columns, a value out of range, a slug that occurs twice in a family.
    """
    rows = [_row(where, fields) for where, fields in read_rows(path, COLUMNS, OPTIONAL)]
    _check_slugs(path, rows)
    return rows


def select(rows, families, path="checkpoints.tsv"):
    """The rows of the given families; every family must have one."""
    for family in families:
        if not any(row.family == family for row in rows):
            known = sorted({row.family for row in rows})
            raise InputError("configuration: families", f"{family!r} has no row in {path}", f"Known families: {', '.join(known)}")
    return [row for row in rows if row.family in families]


def is_certified(row, certificate):
    """Whether the configuration's section on certificates has the row certified."""
    return certificate.quantizer is not None and (certificate.checkpoints is None or row.slug in certificate.checkpoints)


def check_certified(rows, certificate, path="checkpoints.tsv"):
    """Every row that is to be certified is a row of the table, of whichever family."""
    known = {row.slug for row in rows}
    for slug in certificate.checkpoints or []:
        if slug not in known:
            near = difflib.get_close_matches(slug, sorted(known), 1)
            raise InputError("configuration: certificate.checkpoints", f"{slug!r} is no row of {path}", f"Did you mean {near[0]}?" if near else "Name its rows")


def check_against(rows, config, path="checkpoints.tsv"):
    """Each row's stream must exist and allow what is asked for; run, step, revision and token count must be what they make of each other."""
    for row in rows:
        where = f"{path}: {row.family}/{row.slug}"
        if row.stream not in config.streams:
            raise InputError(where, f"unknown stream {row.stream!r}", f"Known streams: {', '.join(sorted(config.streams))}")
        if is_certified(row, config.certificate) and not config.streams[row.stream].unbiased:
            found = f"stream {row.stream!r} is an approximation of what the checkpoint saw, and certificate.quantizer is {config.certificate.quantizer!r}"
            remedy = "set certificate.quantizer to null, or leave the row out of certificate.checkpoints: an estimate is all there is"
            raise InputError(where, found, f"No certificate rests on such a stream: {remedy}")
        if row.source == "trained":
            _check_trained(row, config, where)
        else:
            _check_released(row, config.streams[row.stream], where)


def _check_trained(row, config, where):
    run = config.training.get(row.repo)
    if run is None:
        raise InputError(where, f"unknown training run {row.repo!r}", f"Known runs: {', '.join(sorted(config.training))}")
    if run.stream != row.stream:
        raise InputError(where, f"stream {row.stream!r}, but run {row.repo!r} reads {run.stream!r}", "Make them equal")
    if row.revision != f"step{row.step}":
        raise InputError(where, f"revision {row.revision!r} at step {row.step}", f"Write step{row.step}")
    if row.step not in run.kept_steps():
        kept = ", ".join(map(str, run.kept_steps()))
        raise InputError(where, f"step {row.step} is not kept by run {row.repo!r}", f"Kept steps: {kept}")
    expected = run.rows_seen(row.step) * (config.streams[row.stream].row_tokens - 1)
    if row.tokens_seen != expected:
        raise InputError(where, f"tokens_seen {row.tokens_seen}", f"Step {row.step} of run {row.repo!r} has seen {expected}, {_AGAIN}")


def _check_released(row, stream, where):
    if stream.kind in MADE_HERE:
        raise InputError(
            where,
            f"stream {row.stream!r} of kind {stream.kind}",
            "None but models that the workflow trains have seen it: give source trained, or another stream",
        )
    expected, most = stream.predictions_seen(row.step), stream.most_predictions
    if expected is not None and row.tokens_seen != expected:
        raise InputError(where, f"tokens_seen {row.tokens_seen}", f"Step {row.step} of stream {row.stream!r} has seen {expected}, {_AGAIN}")
    if most is not None and row.tokens_seen > most:
        raise InputError(where, f"tokens_seen {row.tokens_seen}", f"One pass over stream {row.stream!r} has {most} predictions, {_AGAIN}")
    if step_of(row.revision) not in (None, row.step):
        raise InputError(where, f"revision {row.revision!r} at step {row.step}", "Make them equal")


def _row(where, fields):
    for name in _INTEGERS:
        if not _WHOLE.fullmatch(fields[name]):
            raise InputError(where, f"{name} {fields[name][:60]!r}", "Write a whole number without separators, point or exponent")
    return parse(Checkpoint, fields | {name: int(fields[name]) for name in _INTEGERS}, where)


def _check_slugs(path, rows):
    seen = set()
    for row in rows:
        if (row.family, row.slug) in seen:
            raise InputError(path, f"slug {row.slug!r} occurs twice in family {row.family!r}", "Give each checkpoint its own slug")
        seen.add((row.family, row.slug))


def rows_digest(rows):
    """Hex sha256 of rows with their notes: whether a table read again still says the same."""
    return hashlib.sha256(json.dumps([row.model_dump() for row in rows], sort_keys=True).encode()).hexdigest()
