"""Settings of the studies: the section `studies` of the configuration."""

from pydantic import Field, model_validator

from scalebound.schema_types import Model, Seed
from scalebound.stream_settings import refuse_duplicates
from scalebound.studies import STUDIES


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


class Baselines(Model):
    """Other bounds and the held-out loss beside the paper's; held-out windows are those of streams that set documents aside."""

    windows: int = Field(1024, ge=2, description="held-out windows at most; fewer where there is less text")
    seed: Seed = 707


class Studies(Model):
    """Which studies are part of the run, and how each is made; the others are targets that can be asked for by name."""

    run: list[str] = Field([], description="studies that the default target includes")
    trajectory: Trajectory = Trajectory()
    baselines: Baselines = Baselines()

    @model_validator(mode="after")
    def _known(self):
        refuse_duplicates(self.run, "studies.run")
        for name in self.run:
            if name not in STUDIES:
                raise ValueError(f"unknown study {name!r}; studies: {', '.join(STUDIES)}")
        return self
