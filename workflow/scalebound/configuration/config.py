"""The configuration's shape: pydantic models that validate it, give its defaults, and generate `schemas/*.json`.

Nothing here imports torch: Snakemake reads this at every parse.
"""

import math
import re
import reprlib
from datetime import date
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from scalebound.configuration.oracles import check_oracles
from scalebound.configuration.rate import RateSettings
from scalebound.configuration.streams import MADE_HERE, Stream, refuse_duplicates
from scalebound.configuration.studies import Studies
from scalebound.configuration.types import WORDS, LocalPath, Model, Repo, Revision, Seed, Share, Slug, kinds_of
from scalebound.errors import InputError

MAX_KEPT = 10_000  # checkpoints of one run, each of which is an output of one job
Pair = Annotated[list[Revision], Field(min_length=2, max_length=2)]


class References(Model):
    """Averaged weights that a training run keeps along its way: what predicts each later row without having seen it."""

    spacing: float = Field(1.25, ge=1.01, description="factor between the steps at which they are kept, from the end of the warm-up on")
    share: float = Field(0.05, gt=0, le=1, description="the exponential average goes back over about this share of the steps so far")


def _or_like(schema):
    """In editors: a run is written out, or like another one."""
    schema["properties"]["like"] = {"type": "string", "description": "a run that is written out: whatever stands beside this key differs from it"}
    schema["anyOf"] = [{"required": schema.pop("required")}, {"required": ["like"]}]


class TrainingRun(Model):
    """One GPT-NeoX model trained by the workflow on the first rows of a stream, in one pass or in several."""

    model_config = ConfigDict(json_schema_extra=_or_like)

    stream: Slug
    hidden_size: int = Field(ge=4)
    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    rotary_fraction: float = Field(0.25, gt=0, le=1, description="share of each head's dimensions that rotate")
    initializer_range: float = Field(0.02, gt=0, description="standard deviation of the initial matrices")
    batch_rows: int = Field(ge=1, description="rows of the stream in an optimizer step")
    steps: int = Field(ge=1)
    epochs: int = Field(1, ge=1, description="passes over the rows: a run sees steps * batch_rows / epochs distinct ones, in the same order each time")
    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(ge=0)
    final_learning_rate_fraction: float = Field(0.0, ge=0, le=1)
    weight_decay: float = Field(0.1, ge=0)
    beta2: float = Field(0.95, gt=0, lt=1)
    clip_norm: float = Field(1.0, gt=0)
    keep_every: int = Field(ge=1, description="a checkpoint is kept at steps 1, 2, 4, ..., at multiples of this, and at the end")
    references: References | None = Field(References(), description="averaged weights that are kept too; null: none")
    threads: int = Field(1, ge=1, description="CPU threads of training, of tuning its codes and of its students; another number gives other last bits")
    seed: Seed

    @model_validator(mode="after")
    def _sensible(self):
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of heads {self.heads}")
        if self.steps // self.keep_every > MAX_KEPT:
            raise ValueError(f"keep_every {self.keep_every} keeps {self.steps // self.keep_every} checkpoints, at most {MAX_KEPT} are allowed")
        if self.steps * self.batch_rows % self.epochs:
            raise ValueError(f"{self.steps} steps of {self.batch_rows} rows are no whole number of rows for each of {self.epochs} epochs")
        return self

    @property
    def rows(self):
        """Distinct rows of the stream that the whole run sees."""
        return self.steps * self.batch_rows // self.epochs

    def rows_seen(self, step):
        """Distinct rows that `step` steps have seen.

        A bound's n counts the predictions of these: the martingale has one factor for each token of the stream, however
        often the optimizer came back to it.
        """
        return min(step * self.batch_rows, self.rows)

    def kept_steps(self):
        """Steps whose checkpoint is kept, ascending: the powers of two, the multiples of `keep_every`, the last."""
        powers = {2**k for k in range(self.steps.bit_length())}
        return sorted(s for s in powers | set(range(self.keep_every, self.steps, self.keep_every)) | {self.steps} if s <= self.steps)

    def reference_steps(self):
        """Steps whose averaged weights are kept, ascending: fractions 1 / spacing^k of those of the first pass, k = 1, 2, ...

        The average of step t has seen rows < t * batch_rows only, and is a reference for the rows from that one on. Before the
        end of the warm-up there is not much to average; after the first pass no row is left that it has not seen.
        """
        if self.references is None:
            return []
        first_pass, first = self.rows // self.batch_rows, max(1, self.warmup_steps)
        powers = range(1, 1 + int(math.log(max(1, first_pass / first), self.references.spacing)))
        return sorted({step for k in powers if first <= (step := round(first_pass / self.references.spacing**k)) < self.steps})


class ReleasedSteps(Model):
    """At which steps a family's runs were released, as branches `step<k>`: earlier ones than a row's are its references."""

    powers_of_two_to: int = Field(0, ge=0, description="1, 2, 4, ... up to this one; 0: none of these")
    every: int = Field(ge=1, description="and the multiples of this")
    references: int = Field(12, ge=0, description="how many of them, evenly spaced in their logarithm from a hundredth of the row's step on; 0: none")

    def before(self, step):
        """The steps of the references of a checkpoint of `step`, ascending."""
        powers = {2**k for k in range(self.powers_of_two_to.bit_length()) if 2**k <= self.powers_of_two_to}
        released = sorted(s for s in powers | set(range(self.every, step, self.every)) if step / 100 <= s < step)
        if not released or not self.references:
            return []
        ratio = (released[-1] / released[0]) ** (1 / max(1, self.references - 1))
        wanted = (released[-1] / ratio**k for k in range(self.references))
        return sorted({min(released, key=lambda s: abs(math.log(s / w))) for w in wanted})


class Draw(Model):
    """Windows drawn uniformly with replacement from the rows that the checkpoint saw."""

    windows: int = Field(ge=1)
    seed: Seed


class HeldoutDraw(Draw):
    """Rows of the held-out documents of a stream, in seeded order and none twice: held-out text is scarce."""

    windows: int = Field(ge=2, description="at most so many; fewer where there is less text")


class Sampling(Model):
    score: Draw = Field(description="the draw that the bounds are computed on")
    calibration: Draw = Field(description="the draw that quantizers may look at")
    tuning: Draw | None = Field(None, description="the draw that codes are tuned on, for quantizers that do")
    certify: Draw | None = Field(None, description="the draw that certificates are computed on; no choice may look at it")
    heldout: HeldoutDraw = Field(HeldoutDraw(windows=512, seed=707), description="what the held-out loss beside the bounds is computed on")

    def draws(self):
        """{name: Draw} of the draws that there are from what a checkpoint saw."""
        return {name: draw for name in type(self).model_fields if name != "heldout" and (draw := getattr(self, name)) is not None}

    @model_validator(mode="after")
    def _different_seeds(self):
        draws = [*self.draws().items(), ("heldout", self.heldout)]
        for k, (name, draw) in enumerate(draws):
            for other, earlier in draws[:k]:
                if draw.seed == earlier.seed:
                    raise ValueError(f"{other}.seed and {name}.seed must differ: what a choice looks at may not be what it is judged on")
        return self


class Scoring(Model):
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="of the weights; statistics are always fp32")
    windows_per_batch: int | None = Field(None, ge=1, description="null: chosen from the memory of the device")


class Hub(Model):
    """How the hub is read. Where it is (HF_ENDPOINT) and where its files are kept (HF_HOME) are the environment's."""

    known_equal: dict[Repo, list[Pair]] = Field({}, description="pairs of revisions of a repository that may share weight files")
    attempts: int = Field(6, ge=1, le=20, description="tries of one request, with a wait that doubles")
    connections: int = Field(8, ge=1, le=32, description="range requests at once")


class Quantizer(Model):
    method: Literal["rtn", "gptq"]
    bits: int = Field(ge=2, le=8, description="of every matrix entry")
    vector_bits: int = Field(8, ge=2, le=8, description="of 1-D parameters (norms, biases), always rounded to nearest")
    group: int = Field(0, ge=0, description="columns that share a scale; 0: one scale per row")
    vector_group: int = Field(64, ge=1, description="entries of a 1-D parameter that share a scale")
    damping: float = Field(0.01, gt=0, le=1, description="GPTQ: share of the Hessian's mean diagonal added to it")


class IncoherentQuantizer(Quantizer):
    """GPTQ in a random basis of the inputs and outputs of each linear layer."""

    method: Literal["incoherent"]
    seed: Seed = Field(description="of the signs of the bases; part of the message, so the code length pays for it")


# on fixed grids: the methods of quantization/methods.py
GridQuantizer = Annotated[Quantizer | IncoherentQuantizer, Field(discriminator="method")]
AnyQuantizer = Annotated[Quantizer | IncoherentQuantizer | RateSettings, Field(discriminator="method")]


class Grids(Model):
    """Grids of ceilings, fixed before any data is seen; C pays for their sizes. Offsets and floors are nats above the worst-case loss."""

    alpha_points: int = Field(40, ge=1)
    alpha_min: float = Field(0.002, gt=0, lt=1)
    alpha_max: float = Field(0.5, gt=0, lt=1)
    s_points: int = Field(1000, ge=1, description="method freedman only")
    floor_points: int = Field(9, ge=1)
    floor_min: float = Field(0.01, gt=0)
    floor_max: float = Field(2.56, gt=0)
    offset_points: int = Field(49, ge=1)
    offset_min: float = -12.0
    offset_max: float = 60.0
    slope_points: int = Field(21, ge=1)
    slope_max: float = Field(5.0, ge=0, description="nats per nat of the model's entropy")

    @model_validator(mode="after")
    def _ordered(self):
        for name in ("alpha", "floor", "offset"):
            if getattr(self, f"{name}_min") > getattr(self, f"{name}_max"):
                raise ValueError(f"{name}_min {getattr(self, f'{name}_min')} must not be above {name}_max {getattr(self, f'{name}_max')}")
        return self


class OnlineGrids(Model):
    """Grids of the online bound, each geometrically spaced and paid for by C; floors and levels in nats, those of the reference above its largest loss."""

    alpha_points: int = Field(4, ge=1)
    alpha_min: float = Field(0.01, gt=0, lt=1)
    alpha_max: float = Field(0.08, gt=0, lt=1)
    floor_points: int = Field(5, ge=1)
    floor_min: float = Field(0.01, gt=0)
    floor_max: float = Field(2.56, gt=0)
    level_points: int = Field(41, ge=1)
    level_min: float = Field(0.05, gt=0)
    level_max: float = Field(100.0, gt=0)
    reference_points: int = Field(13, ge=1)
    reference_min: float = Field(10.0, gt=0)
    reference_max: float = Field(1e5, gt=0)

    @model_validator(mode="after")
    def _ordered(self):
        for name in ("alpha", "floor", "level", "reference"):
            if getattr(self, f"{name}_min") > getattr(self, f"{name}_max"):
                raise ValueError(f"{name}_min {getattr(self, f'{name}_min')} must not be above {name}_max {getattr(self, f'{name}_max')}")
        return self


class Bound(Model):
    failure_probability: float = Field(0.01, gt=0, lt=1)
    s_points: int = Field(1000, ge=1, description="|K|: the grid s = i / (|K| + 1)")
    alpha_points: int = Field(40, ge=1, description="|G_a|: geometric grid of smoothing weights")
    alpha_min: float = Field(0.002, gt=0, lt=1)
    alpha_max: float = Field(0.5, gt=0, lt=1)
    ceilings: Grids = Field(Grids(), description="grids of the geometric-mean bound (G), for estimates and certificates")
    online: OnlineGrids = Field(OnlineGrids(), description="grids of the online bound (D), likewise, where a checkpoint has references")

    @model_validator(mode="after")
    def _ordered(self):
        if self.alpha_points > 1 and self.alpha_min >= self.alpha_max:
            raise ValueError(f"alpha_min {self.alpha_min} must be below alpha_max {self.alpha_max}")
        return self


class Certificate(Model):
    """How the decoded model of one quantizer is certified; everything here is fixed before the scores are seen."""

    model_config = {"serialize_by_alias": True}  # noqa: RUF012 (as pydantic takes it)

    quantizer: Slug | None = Field(None, description="the quantizer whose decoded model is certified; null: no certificates")
    untuned: Slug | None = Field(None, description="a quantizer to show on the way to the certificate; null: none")
    checkpoints: list[Slug] | None = Field(
        None, description="slugs of the rows that are certified, for no others `quantizer` and `untuned` are run; null: all rows"
    )
    method: Literal["online", "geometric", "freedman"] | None = Field(None, description="null: online where a checkpoint has references, else geometric")
    starts: list[Share] = Field(
        [0.0],
        min_length=1,
        alias="from",
        description="shares of the stream from which on positions count; the first is the certificate, the others stand beside it",
    )
    confidence: Literal["betting", "empirical_bernstein", "hoeffding"] = Field("betting", description="bound on the mean over the draw")
    stream_failure_probability: float = Field(0.0001, gt=0, lt=1, description="d1, over the training stream")
    draw_failure_probability: float = Field(0.0099, gt=0, lt=1, description="d2, over the draw of the windows")
    pilot_share: float = Field(0.1, gt=0, lt=1, description="share of the draw that choices are made on; the rest is bounded")


class Config(Model):
    families: list[Slug] = Field(min_length=1, description="families of checkpoints.tsv to run")
    checkpoints: str = Field("config/checkpoints.tsv", description="table of checkpoints")
    streams: dict[Slug, Stream]
    training: dict[Slug, TrainingRun] = Field({}, description="models that the workflow trains")
    sampling: Sampling
    scoring: Scoring = Scoring()
    hub: Hub = Hub()
    history: dict[Slug, ReleasedSteps] = Field({}, description="released steps of the runs of a family, by family: references of its checkpoints")
    published: dict[Slug, LocalPath] = Field({}, description="tables of published values to compare a family with, by family")
    quantizers: dict[Slug, AnyQuantizer] = Field(min_length=1, description="quantizers by name")
    quantize_with: list[Slug] = Field(min_length=1, description="names of the quantizers to run")
    paper_quantizer: Slug = Field(description="the quantizer that figures and summary take for the paper's")
    bound: Bound = Bound()
    certificate: Certificate = Certificate()
    studies: Studies = Studies()

    @model_validator(mode="before")
    @classmethod
    def _runs_like_others(cls, value):
        """Runs with `like` written out."""
        if not isinstance(value, dict) or not isinstance(value.get("training"), dict):
            return value
        return value | {"training": {name: _written_out(name, run, value["training"]) for name, run in value["training"].items()}}

    @model_validator(mode="after")
    def _references(self):
        refuse_duplicates(self.families, "families")
        refuse_duplicates(self.quantize_with, "quantize_with")
        unknown = [name for name in self.quantize_with if name not in self.quantizers]
        if unknown:
            raise ValueError(f"quantize_with names {unknown[0]!r}, which is not among quantizers {sorted(self.quantizers)}")
        if self.paper_quantizer not in self.quantize_with:
            raise ValueError(f"paper_quantizer {self.paper_quantizer!r} is not among quantize_with {self.quantize_with}")
        coded = [name for name in self.quantize_with if self.quantizers[name].method == "coded"]
        if coded and self.sampling.tuning is None:
            raise ValueError(f"quantizer {coded[0]!r} is tuned: give sampling.tuning, a draw of its own")
        if self.paper_quantizer in coded:
            raise ValueError(f"paper_quantizer {self.paper_quantizer!r} has no nominal code length: name one of another method")
        if self.certificate.quantizer is not None:
            if self.certificate.quantizer not in self.quantize_with:
                raise ValueError(f"certificate.quantizer {self.certificate.quantizer!r} is not among quantize_with {self.quantize_with}")
            if self.certificate.untuned not in (None, *self.quantize_with):
                raise ValueError(f"certificate.untuned {self.certificate.untuned!r} is not among quantize_with {self.quantize_with}")
            if self.sampling.certify is None:
                raise ValueError("certificate.quantizer needs a draw of its own: give sampling.certify")
        for name, run in self.training.items():
            made = sorted(stream for stream, settings in self.streams.items() if settings.kind in MADE_HERE)
            if run.stream not in made:
                raise ValueError(f"training.{name}.stream {run.stream!r} is not among the streams of kind {' or '.join(MADE_HERE)} {made}")
        if unknown := sorted(set(self.studies.requential.sent) - set(self.training)):
            raise ValueError(f"studies.requential.sent names {unknown[0]!r}, which is not among the training runs {sorted(self.training)}")
        check_oracles(self.streams, self.training)
        reserved = {"streams", "training", "crate", "references"} & set(self.families)
        if reserved:
            raise ValueError(f"family name {sorted(reserved)[0]!r} is reserved for a folder of results/")
        return self


def _written_out(name, run, runs):
    if not isinstance(run, dict) or "like" not in run:
        return run
    changes, other = {key: value for key, value in run.items() if key != "like"}, run["like"]
    whole = sorted(key for key, value in runs.items() if isinstance(value, dict) and "like" not in value)
    if other not in whole:
        raise ValueError(f"training.{name}.like names {other!r}, which is not among the runs that are written out, {whole}")
    return runs[other] | changes


def parse(model, value, where, kinds=None):
    """Validate `value` as `model`, a pydantic model or a union of them.

    `kinds` are {section: names that pydantic puts behind the name of a member of it}, which messages leave out.

    Raises:
        InputError: names each offending key with the value found; `where` says which file or option it came from.
    """
    try:
        return TypeAdapter(model).validate_python(value)
    except ValidationError as error:
        problems = "; ".join(_describe(problem, kinds or {}) for problem in error.errors())
        raise InputError(where, problems, "See config/README.md for the keys and their values") from None


# YAML's aliases make a structure of a few lines print as gigabytes
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200


def _describe(problem, kinds):
    key = ".".join(str(part) for part in _without_kind(problem["loc"], kinds) if part != "[key]") or "(whole)"
    if problem["type"] == "extra_forbidden":
        return f"unknown key `{key}` (value {_SHORT.repr(problem['input'])})"
    if problem["type"] == "missing":
        return f"key `{key}` is missing"
    return f"key `{key}`: {_message(problem)}" + ("" if isinstance(problem["input"], (dict, type(None))) else f", found {_SHORT.repr(problem['input'])}")


_WANTED = {"int_type": "write a whole number, without point, exponent and quotes", "float_type": "write a number, without quotes"}


def _message(problem):
    """What is wrong with a value, in words that mean something to whoever wrote the YAML."""
    if problem["input"] is None:
        return "it is empty (null): give it a value, or leave the key out"
    if problem["type"] in _WANTED:
        return _WANTED[problem["type"]]
    if problem["type"] == "string_pattern_mismatch":
        return WORDS[problem["ctx"]["pattern"]]
    if problem["type"] == "string_type" and isinstance(problem["input"], (bool, int, float, date)):
        return "YAML reads it as a number, date or truth value: put it in quotes"
    return re.sub(r"^Value error, ", "", problem["msg"])


def _without_kind(place, kinds):
    """The place of a problem as the user wrote it: pydantic puts the kind of a stream or quantizer behind its name."""
    return place[:2] + place[3:] if len(place) > 2 and place[2] in kinds.get(place[0], ()) else place


def parse_config(value, where="configuration"):
    kinds = {"streams": kinds_of(Stream, "kind"), "quantizers": kinds_of(AnyQuantizer, "method")}
    return parse(Config, value, where, kinds)
