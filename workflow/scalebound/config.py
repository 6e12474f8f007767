"""The configuration's shape: pydantic models that validate it, give its defaults, and generate `schemas/*.json`.

Nothing here imports torch: Snakemake reads this at every parse.
"""

import re
import reprlib
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from scalebound.errors import InputError

SLUG = r"^[a-z0-9][a-z0-9._-]{0,63}$"
SHA256 = r"^[0-9a-f]{64}$"
MAX_KEPT = 10_000  # checkpoints of one run, each of which is an output of one job

Slug = Annotated[str, Field(pattern=SLUG)]
Sha256 = Annotated[str, Field(pattern=SHA256)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Wheel(Model):
    """A pinned pure-Python distribution whose sources are data; it is never installed or imported."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: str = Field(pattern=r"^[0-9][A-Za-z0-9.+!]*$")
    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*\.whl$", description="file name of the wheel")
    sha256: Sha256


class TokenizerSettings(Model):
    vocab_size: int = Field(ge=257, le=65536, description="256 bytes, one end-of-document token, and the merges")
    sha256: Sha256 | None = Field(None, description="expected digest of tokenizer.json")


class Stream(Model):
    """A training stream made by the workflow from the Python sources of pinned wheels."""

    kind: Literal["wheels"]
    wheels: list[Wheel] = Field(min_length=1)
    document_seed: Seed = Field(description="order of the documents")
    tokenizer_fraction: float = Field(gt=0, lt=0.5, description="share of the bytes that only the tokenizer sees")
    heldout_fraction: float = Field(gt=0, lt=0.5, description="share of the bytes that no model is trained on")
    tokenizer: TokenizerSettings
    row_tokens: int = Field(ge=2, le=65536, description="tokens of a row; a row holds row_tokens - 1 predictions")
    sha256: dict[Annotated[str, Field(pattern=r"^[0-9]+$")], Sha256] = Field({}, description="expected digest of tokens.bin, by its number of rows")

    @model_validator(mode="after")
    def _distinct_wheels(self):
        _refuse_duplicates([wheel.file for wheel in self.wheels], "wheels")
        return self


class TrainingRun(Model):
    """One GPT-NeoX model trained by the workflow, one pass over the first rows of a stream."""

    stream: Slug
    hidden_size: int = Field(ge=4)
    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    rotary_fraction: float = Field(0.25, gt=0, le=1, description="share of each head's dimensions that rotate")
    initializer_range: float = Field(0.02, gt=0, description="standard deviation of the initial matrices")
    batch_rows: int = Field(ge=1, description="rows of the stream in an optimizer step")
    steps: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(ge=0)
    final_learning_rate_fraction: float = Field(0.0, ge=0, le=1)
    weight_decay: float = Field(0.1, ge=0)
    beta2: float = Field(0.95, gt=0, lt=1)
    clip_norm: float = Field(1.0, gt=0)
    keep_every: int = Field(ge=1, description="a checkpoint is kept at steps 1, 2, 4, ..., at multiples of this, and at the end")
    seed: Seed

    @model_validator(mode="after")
    def _sensible(self):
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of heads {self.heads}")
        if self.steps // self.keep_every > MAX_KEPT:
            raise ValueError(f"keep_every {self.keep_every} keeps {self.steps // self.keep_every} checkpoints, at most {MAX_KEPT} are allowed")
        return self

    def kept_steps(self):
        """Steps whose checkpoint is kept, ascending: the powers of two, the multiples of `keep_every`, the last."""
        powers = {2**k for k in range(self.steps.bit_length())}
        return sorted(s for s in powers | set(range(self.keep_every, self.steps, self.keep_every)) | {self.steps} if s <= self.steps)


class Draw(Model):
    """Windows drawn uniformly with replacement from the rows that the checkpoint saw."""

    windows: int = Field(ge=1)
    seed: Seed


class Sampling(Model):
    score: Draw = Field(description="the draw that the bounds are computed on")
    calibration: Draw = Field(description="the draw that quantizers may look at")

    @model_validator(mode="after")
    def _different_seeds(self):
        if self.score.seed == self.calibration.seed:
            raise ValueError("score.seed and calibration.seed must differ: calibration may not see the scored draw")
        return self


class Scoring(Model):
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="of the weights; statistics are always fp32")
    windows_per_batch: int | None = Field(None, ge=1, description="null: chosen from the memory of the device")


class Quantizer(Model):
    method: Literal["rtn", "gptq"]
    bits: int = Field(ge=2, le=8, description="of every matrix entry")
    vector_bits: int = Field(8, ge=2, le=8, description="of 1-D parameters (norms, biases), always rounded to nearest")
    group: int = Field(0, ge=0, description="columns that share a scale; 0: one scale per row")
    vector_group: int = Field(64, ge=1, description="entries of a 1-D parameter that share a scale")
    damping: float = Field(0.01, gt=0, le=1, description="GPTQ: share of the Hessian's mean diagonal added to it")


class Bound(Model):
    failure_probability: float = Field(0.01, gt=0, lt=1)
    s_points: int = Field(1000, ge=1, description="|K|: the grid s = i / (|K| + 1)")
    alpha_points: int = Field(40, ge=1, description="|G_a|: geometric grid of smoothing weights")
    alpha_min: float = Field(0.002, gt=0, lt=1)
    alpha_max: float = Field(0.5, gt=0, lt=1)

    @model_validator(mode="after")
    def _ordered(self):
        if self.alpha_points > 1 and self.alpha_min >= self.alpha_max:
            raise ValueError(f"alpha_min {self.alpha_min} must be below alpha_max {self.alpha_max}")
        return self


class Config(Model):
    families: list[Slug] = Field(min_length=1, description="families of checkpoints.tsv to run")
    checkpoints: str = Field("config/checkpoints.tsv", description="table of checkpoints")
    streams: dict[Slug, Stream]
    training: dict[Slug, TrainingRun] = Field({}, description="models that the workflow trains")
    sampling: Sampling
    scoring: Scoring = Scoring()
    quantizers: dict[Slug, Quantizer] = Field(min_length=1, description="quantizers by name")
    quantize_with: list[Slug] = Field(min_length=1, description="names of the quantizers to run")
    paper_quantizer: Slug = Field(description="the quantizer that figures and summary take for the paper's")
    bound: Bound = Bound()

    @model_validator(mode="after")
    def _references(self):
        _refuse_duplicates(self.families, "families")
        _refuse_duplicates(self.quantize_with, "quantize_with")
        unknown = [name for name in self.quantize_with if name not in self.quantizers]
        if unknown:
            raise ValueError(f"quantize_with names {unknown[0]!r}, which is not among quantizers {sorted(self.quantizers)}")
        if self.paper_quantizer not in self.quantize_with:
            raise ValueError(f"paper_quantizer {self.paper_quantizer!r} is not among quantize_with {self.quantize_with}")
        for name, run in self.training.items():
            if run.stream not in self.streams:
                raise ValueError(f"training.{name}.stream {run.stream!r} is not among streams {sorted(self.streams)}")
        reserved = {"streams", "training", "crate"} & set(self.families)
        if reserved:
            raise ValueError(f"family name {sorted(reserved)[0]!r} is reserved for a folder of results/")
        return self


def _refuse_duplicates(items, key):
    twice = sorted({item for item in items if items.count(item) > 1})
    if twice:
        raise ValueError(f"{key} names {twice[0]!r} twice")


def parse(model, value, where):
    """Validate `value` as `model`.

    Raises:
        InputError: names each offending key with the value found; `where` says which file or option it came from.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = "; ".join(_describe(problem) for problem in error.errors())
        raise InputError(where, problems, "See config/README.md for the keys and their values") from None


# YAML's aliases make a structure of a few lines print as gigabytes
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200


def _describe(problem):
    key = ".".join(str(part) for part in problem["loc"]) or "(whole)"
    if problem["type"] == "extra_forbidden":
        return f"unknown key `{key}` (value {_SHORT.repr(problem['input'])})"
    if problem["type"] == "missing":
        return f"key `{key}` is missing"
    message = re.sub(r"^Value error, ", "", problem["msg"])
    return f"key `{key}`: {message}" + ("" if isinstance(problem["input"], dict) else f", found {_SHORT.repr(problem['input'])}")


def parse_config(value, where="configuration"):
    return parse(Config, value, where)
