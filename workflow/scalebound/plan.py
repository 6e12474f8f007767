"""What the workflow has to make, computed from the validated configuration; the rules only look things up here."""

import json
import os
import re
from functools import cached_property

from scalebound import checkpoints
from scalebound.code_digest import stage_digest
from scalebound.config import parse, parse_config
from scalebound.errors import InputError
from scalebound.provenance import check_keys, read_json

DRAWS = ("score", "calibration")
FIGURES = ("bounds_by_size", "terms", "loss_variation", "rates")
FIGURE_FORMATS = ("png", "pdf")


class Plan:
    """The configuration and the selected rows of the table of checkpoints, with the questions that rules ask."""

    def __init__(self, config, rows):
        rows = checkpoints.select(rows, config.families, config.checkpoints)
        checkpoints.check_against(rows, config, config.checkpoints)
        self.config = config
        self.checkpoints = {(row.family, row.slug): row for row in rows}

    @classmethod
    def from_configuration(cls, value):
        """The plan of a configuration (a dict), with the table of checkpoints that it names."""
        config = parse_config(value)
        return cls(config, checkpoints.read_table(config.checkpoints))

    @classmethod
    def from_results(cls, path):
        """The plan of a family that has been run, from results/<family>/config.json alone."""
        saved = read_json(path, "resolved-config")
        check_keys(saved, {"config": dict, "checkpoints": list}, path)
        rows = [parse(checkpoints.Checkpoint, row, path) for row in saved["checkpoints"]]
        return cls(parse_config(saved["config"], path), rows)

    # -- what to make ------------------------------------------------------------------------------------------------

    def targets(self):
        wanted = []
        for family in self.config.families:
            wanted += [f"results/{family}/config.json", f"results/{family}/bounds.csv", *self.figures_of(family)]
        return wanted

    def figures_of(self, family):
        return [f"results/{family}/figures/{name}.{form}" for name in FIGURES for form in FIGURE_FORMATS]

    def bounds_of(self, family):
        slugs = [slug for f, slug in self.checkpoints if f == family]
        return [f"results/{family}/{slug}/quantizers/{q}/bound/bounds.json" for slug in slugs for q in self.config.quantize_with]

    def checkpoint_files(self, run):
        return [f"results/training/{run}/step{k}/{name}" for k in self._run(run).kept_steps() for name in ("config.json", "model.safetensors")]

    # -- where things lie --------------------------------------------------------------------------------------------

    def wheel_files(self, stream):
        return [f"results/streams/{stream}/wheels/{wheel.file}" for wheel in self._stream(stream).wheels]

    def run_rows(self, run, name):
        """A file of the rows that a training run sees: tokens.bin or stream.json."""
        settings = self._run(run)
        return f"results/streams/{settings.stream}/rows{settings.steps * settings.batch_rows}/{name}"

    def checkpoint_rows(self, family, slug, name):
        """A file of the rows that a checkpoint's windows are drawn from."""
        return self.run_rows(self.row(family, slug).repo, name)

    def checkpoint_file(self, family, slug, name):
        """A file of a checkpoint: config.json or model.safetensors."""
        row = self.row(family, slug)
        return f"results/training/{row.repo}/{row.revision}/{name}"

    # -- settings of one job, as JSON --------------------------------------------------------------------------------

    def stream_settings(self, stream):
        return _json(self._stream(stream))

    def tokenize_settings(self, stream, rows):
        """Only the pin of this number of rows: a pin that is added for another length must not rerun this one."""
        settings = self._stream(stream)
        pins = {key: value for key, value in settings.sha256.items() if key == rows}
        return _json(settings.model_copy(update={"sha256": pins}))

    def training_settings(self, run):
        return _json(self._run(run))

    def draw_settings(self, draw):
        return _json(getattr(self.config.sampling, draw))

    def scoring_settings(self):
        return _json(self.config.scoring)

    def quantizer_settings(self, quantizer):
        return _json(self.config.quantizers[quantizer])

    def bound_settings(self):
        return _json(self.config.bound)

    def row(self, family, slug):
        return self.checkpoints[(family, slug)]

    def row_settings(self, family, slug):
        return _json(self.row(family, slug))

    def resolved_config(self, family):
        """Everything that the results of one family follow from: its configuration and its rows of the table."""
        config = self.config.model_copy(update={"families": [family]}).model_dump()
        rows = [row.model_dump() for (f, _), row in self.checkpoints.items() if f == family]
        return json.dumps({"config": config, "checkpoints": rows}, sort_keys=True)

    # -- resources ---------------------------------------------------------------------------------------------------

    @cached_property
    def gpus_per_job(self):
        """1 when scoring and quantization will run on a CUDA device, so that the profile's `gpu` total limits them."""
        return int(self.config.scoring.device != "cpu" and os.path.exists("/dev/nvidiactl"))

    def training_priority(self, run):
        """The run with most work starts first, so that the last core is not left with it alone."""
        settings = self._run(run)
        return settings.steps * settings.batch_rows * settings.layers * settings.hidden_size**2 // 10**6

    def slugs(self):
        return sorted({slug for _, slug in self.checkpoints})

    def _stream(self, name):
        return self.config.streams[name]

    def _run(self, name):
        try:
            return self.config.training[name]
        except KeyError:
            raise InputError("configuration: training", f"no run {name!r}", f"Known runs: {', '.join(sorted(self.config.training))}") from None


def digest(stage):
    """The code digest that a rule carries in its params, so that an edit of the stage's modules reruns it."""
    return stage_digest(stage)


def alternatives(names):
    """A wildcard constraint that matches exactly the given names."""
    return "|".join(re.escape(name) for name in sorted(names)) or "(?!)"


def _json(model):
    return json.dumps(model.model_dump(), sort_keys=True)
