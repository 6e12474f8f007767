"""Settings of the studies: the section `studies` of the configuration."""

from typing import Literal

from pydantic import Field, model_validator

from scalebound.configuration.streams import refuse_duplicates
from scalebound.configuration.types import LocalPath, Model, Seed, Share, Slug


class Information(Model):
    """How Chinchilla's law is fitted to the family's loss curves."""

    fit_from: float = Field(2.0, ge=0, description="tokens per parameter below which points are left out of the fit: the warm-up follows no law")
    bootstrap: int = Field(200, ge=20, le=100_000, description="resamples behind the intervals of the constants")
    seed: Seed = 808


class Extrapolation(Model):
    """What the laws are carried over to: the tables of gap_law and overtraining."""

    models: LocalPath = Field("config/published_models.tsv", description="table of published models: name, n_params, n_tokens, source")
    nominal_bits: float = Field(4.0, gt=0, description="bits per parameter of the paper's recipe")
    published_vocab_size: int = Field(50254, ge=2, description="V for the published constants: Pythia's")
    sizes: list[float] = Field([1e8, 1e9, 1e10, 1e11], min_length=1, description="parameters of the lines of overtraining")
    least_tokens_per_param: float = Field(1.5, gt=0)
    most_tokens_per_param: float = Field(5000.0, gt=0)
    steps: int = Field(25, ge=2, le=1000, description="places on each line, geometrically spaced")


class Online(Model):
    """The online bound along the stream, and what is carried over of it."""

    shares: list[Share] = Field(
        [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], min_length=1, description="of the stream: from where on positions count, and the ends of its parts"
    )
    largest_differences: list[float] = Field([0.6, 1.2, 2.4], min_length=1, description="mean m, in nats, of models that nobody has scored beside references")
    excesses: list[float] = Field([0.0, 0.2], min_length=1, description="nats by which references lie above the law of annealed models")
    starts: list[Share] = Field([0.0, 0.5], min_length=1, description="shares of the stream that predictions are made for")
    alpha: float = Field(0.02, gt=0, lt=1, description="smoothing weight of predictions")

    @model_validator(mode="after")
    def _ascending(self):
        if self.shares != sorted(set(self.shares)):
            raise ValueError("shares must ascend")
        return self


class Ablations(Model):
    """What the paper's bound is tried with, one choice at a time."""

    s_points: list[int] = Field([1, 10, 100, 1000, 10_000, 100_000], min_length=1, description="|K|")
    failure_probabilities: list[float] = Field([0.1, 0.01, 0.001, 1e-6, 1e-12], min_length=1)
    alpha_points: list[int] = Field([10, 40, 160], min_length=1, description="sizes of the grid of smoothing weights")
    constants: int = Field(100, ge=1, description="constant references Y tried between 0 and log V, and paid for")
    windows: list[int] = Field(
        [16, 32, 64, 128, 256, 512, 1024, 2048, 4096], min_length=1, description="sizes of samples of the score draw, those below all of it"
    )
    repeats: int = Field(100, ge=2, le=100_000, description="samples of each size")
    seed: Seed = 909


class Trajectory(Model):
    """Bounds along the training of a model that the workflow trains; a step's draws follow from the seeds and the step."""

    windows: int = Field(256, ge=1, description="windows of each step that the bounds are computed on")
    seed: Seed = 505
    calibration: int = Field(128, ge=1, description="windows of each step that the quantizer may look at")
    calibration_seed: Seed = 606
    max_points: int | None = Field(None, ge=2, description="kept steps that are looked at, about evenly spaced in their logarithm; null: all")

    @model_validator(mode="after")
    def _different_seeds(self):
        if self.seed == self.calibration_seed:
            raise ValueError("seed and calibration_seed must differ: what the quantizer looks at may not be what the bounds are computed on")
        return self


class Hessian(Model):
    """Spectral density of the loss Hessian by stochastic Lanczos quadrature: windows x probes x steps products for each checkpoint."""

    windows: int = Field(16, ge=1, description="the first windows of the calibration draw, over which the loss is averaged")
    probes: int = Field(4, ge=1, description="random sign vectors")
    steps: int = Field(48, ge=2, description="Lanczos steps from each, all of whose vectors are kept in float64")
    seed: Seed = 505
    max_parameters: int = Field(1_000_000, ge=0, description="larger models are skipped, and the tables say so")


class RandomCode(Model):
    """Rows that are really sent to a student, block by block, each as the number of one of 2^bits candidates that both sides draw."""

    bits: int = Field(ge=1, le=8, description="of a number: what a block takes, and 2^bits continuations that are drawn for it on each side")
    block: int = Field(ge=1, description="tokens of a block")
    choice: Literal["sample", "best"] = Field(
        description="of the candidates: one in proportion to q / p of teacher and student, or the one where it is largest"
    )
    seed: Seed = 1111


class Requential(Model):
    """Students that are trained only on what their teacher, the run of a row, draws."""

    sources: list[Literal["rows", "stream"]] = Field(
        ["rows", "stream"], min_length=1, description="rows: the teacher writes whole rows; stream: tokens at the places of the stream, which is no code"
    )
    lesson_share: float = Field(0.02, ge=0, le=1, description="steps from one average that is drawn from to the next, as a share of those so far")
    least_lesson: int = Field(8, ge=1, description="and at least so many")
    seed: Seed = 1010
    codes: dict[Slug, RandomCode] = Field({}, description="how rows are sent to a student, by name")
    sent: dict[Slug, list[Slug]] = Field(
        {}, description="names of codes by training runs, whose students are sent by messages from which they are trained again"
    )

    @model_validator(mode="after")
    def _names(self):
        if taken := sorted({"rows", "stream"} & set(self.codes)):
            raise ValueError(f"codes may not be called {taken[0]!r}, which is a source")
        if unknown := sorted({name for names in self.sent.values() for name in names} - set(self.codes)):
            raise ValueError(f"sent names {unknown[0]!r}, which is not among codes {sorted(self.codes)}")
        return self


class Studies(Model):
    """Which studies are part of the run, and how each is made; the others are targets that can be asked for by name."""

    run: list[str] = Field([], description="studies that the default target includes")
    information: Information = Information()
    extrapolation: Extrapolation = Extrapolation()
    online: Online = Online()
    ablations: Ablations = Ablations()
    trajectory: Trajectory = Trajectory()
    hessian: Hessian = Field(Hessian(), description="study curvature: the loss Hessian")

    @model_validator(mode="after")
    def _once(self):
        refuse_duplicates(self.run, "studies.run")
        return self

    requential: Requential = Requential()
