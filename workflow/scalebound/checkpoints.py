"""The table of checkpoints: one row is one model at one step, with the stream that it saw."""

import csv
import re
from typing import Literal

from pydantic import Field

from scalebound.config import Model, Slug, parse
from scalebound.errors import InputError, first_line


class Checkpoint(Model):
    """One row of `checkpoints.tsv`; `config/README.md` explains each column."""

    slug: Slug
    family: Slug
    source: Literal["trained"] = Field(description="where the weights come from")
    repo: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", description="trained: the name of the training run")
    revision: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", description="trained: `step` and the step")
    step: int = Field(ge=1)
    tokens_seen: int = Field(ge=1, description="predictions that the optimizer has seen: n of the bounds")
    stream: Slug


COLUMNS = tuple(Checkpoint.model_fields)
_INTEGERS = ("step", "tokens_seen")
_WHOLE = re.compile(r"[0-9]{1,18}")


def read_table(path):
    """All rows of a tab-separated table, in order.

    Raises:
        InputError: unknown or missing columns, a value out of range, a slug that occurs twice in a family.
    """
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            lines = list(csv.reader((line for line in handle if not line.startswith("#")), delimiter="\t"))
    except (OSError, ValueError, csv.Error) as error:
        remedy = "Name the table of checkpoints under `checkpoints` in the configuration"
        raise InputError(path, "no such file" if isinstance(error, FileNotFoundError) else f"no table ({first_line(error)})", remedy) from None
    if not lines:
        raise InputError(path, "empty table", f"Start it with the columns {' '.join(COLUMNS)}, separated by tabs")
    _check_columns(path, lines[0])
    rows = [_row(path, number, lines[0], values) for number, values in enumerate(lines[1:], start=2) if values]
    _check_slugs(path, rows)
    return rows


def select(rows, families, path="checkpoints.tsv"):
    """The rows of the given families; every family must have one."""
    for family in families:
        if not any(row.family == family for row in rows):
            known = sorted({row.family for row in rows})
            raise InputError("configuration: families", f"{family!r} has no row in {path}", f"Known families: {', '.join(known)}")
    return [row for row in rows if row.family in families]


def check_against(rows, config, path="checkpoints.tsv"):
    """Each row's run, step, revision, stream and token count must be what the training configuration makes of them."""
    for row in rows:
        where = f"{path}: {row.family}/{row.slug}"
        if row.stream not in config.streams:
            raise InputError(where, f"unknown stream {row.stream!r}", f"Known streams: {', '.join(sorted(config.streams))}")
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
        expected = row.step * run.batch_rows * (config.streams[row.stream].row_tokens - 1)
        if row.tokens_seen != expected:
            raise InputError(where, f"tokens_seen {row.tokens_seen}", f"Step {row.step} of run {row.repo!r} has seen {expected}")


def _check_columns(path, header):
    unknown = [name for name in header if name not in COLUMNS]
    missing = [name for name in COLUMNS if name not in header]
    if unknown:
        raise InputError(path, f"unknown column {unknown[0]!r}", f"The columns are {' '.join(COLUMNS)}")
    if missing:
        raise InputError(path, f"column {missing[0]!r} is missing", f"The columns are {' '.join(COLUMNS)}")
    if len(set(header)) != len(header):
        raise InputError(path, "a column occurs twice", f"The columns are {' '.join(COLUMNS)}")


def _row(path, number, header, values):
    where = f"{path}, line {number}"
    if len(values) != len(header):
        raise InputError(where, f"{len(values)} values for {len(header)} columns", "Separate columns by single tabs")
    fields = dict(zip(header, values))
    for name in _INTEGERS:
        if not _WHOLE.fullmatch(fields[name]):
            raise InputError(where, f"{name} {fields[name][:60]!r}", "Write a whole number without separators")
        fields[name] = int(fields[name])
    return parse(Checkpoint, fields, where)


def _check_slugs(path, rows):
    seen = set()
    for row in rows:
        if (row.family, row.slug) in seen:
            raise InputError(path, f"slug {row.slug!r} occurs twice in family {row.family!r}", "Give each checkpoint its own slug")
        seen.add((row.family, row.slug))
