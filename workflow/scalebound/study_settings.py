"""Settings of the studies: the section `studies` of the configuration."""

from pydantic import Field, model_validator

from scalebound.schema_types import Model
from scalebound.stream_settings import refuse_duplicates
from scalebound.studies import STUDIES


class Studies(Model):
    """Which studies are part of the run, and how each is made; the others are targets that can be asked for by name."""

    run: list[str] = Field([], description="studies that the default target includes")

    @model_validator(mode="after")
    def _known(self):
        refuse_duplicates(self.run, "studies.run")
        for name in self.run:
            if name not in STUDIES:
                raise ValueError(f"unknown study {name!r}; studies: {', '.join(STUDIES)}")
        return self
