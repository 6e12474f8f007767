"""Settings of the studies: the section `studies` of the configuration."""

from pydantic import Field, model_validator

from scalebound.schema_types import Model, Seed
from scalebound.stream_settings import refuse_duplicates
from scalebound.studies import STUDIES


class Hessian(Model):
    """Spectral density of the loss Hessian by stochastic Lanczos quadrature: windows x probes x steps products for each checkpoint."""

    windows: int = Field(16, ge=1, description="the first windows of the calibration draw, over which the loss is averaged")
    probes: int = Field(4, ge=1, description="random sign vectors")
    steps: int = Field(48, ge=2, description="Lanczos steps from each, all of whose vectors are kept in float64")
    seed: Seed = 505
    max_parameters: int = Field(1_000_000, ge=0, description="larger models are skipped, and the tables say so")


class Studies(Model):
    """Which studies are part of the run, and how each is made; the others are targets that can be asked for by name."""

    run: list[str] = Field([], description="studies that the default target includes")
    hessian: Hessian = Field(Hessian(), description="study curvature: the loss Hessian")

    @model_validator(mode="after")
    def _known(self):
        refuse_duplicates(self.run, "studies.run")
        for name in self.run:
            if name not in STUDIES:
                raise ValueError(f"unknown study {name!r}; studies: {', '.join(STUDIES)}")
        return self
