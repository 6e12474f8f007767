"""What the workflow has to make, computed from the validated configuration; the rules only look things up here."""

import json
import os
import re
from functools import cached_property
from pathlib import Path

from scalebound.artifacts.code_digest import stage_digest
from scalebound.artifacts.provenance import check_keys, read_json
from scalebound.configuration import checkpoints
from scalebound.configuration.config import parse, parse_config
from scalebound.configuration.streams import is_remote
from scalebound.errors import InputError
from scalebound.plan.studies import STUDIES, figures_of

# the table of the family that each figure is drawn from
FIGURES = {
    "bounds_by_size": "bounds.csv",
    "terms": "bounds.csv",
    "loss_variation": "bounds.csv",
    "rates": "bounds.csv",
    "comparison": "comparison.csv",
    "certificates": "certificates.csv",
    "oracle": "certificates.csv",
} | figures_of(STUDIES)
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
            wanted += [f"results/{family}/config.json", *(f"results/{family}/{name}" for name in self.tables_of(family))]
            wanted += [f"results/{family}/figures/{name}.{form}" for name in self.figures_of(family) for form in FIGURE_FORMATS]
        return wanted

    def tables_of(self, family):
        """The tables that a family has in the run."""
        compared, certified = family in self.config.published, self.config.certificate.quantizer is not None
        own = ["bounds.csv", *(["comparison.csv"] if compared else []), *(["certificates.csv"] if certified else [])]
        return [*own, *(table for name in self.config.studies.run for table in STUDIES[name].tables)]

    def figures_of(self, family):
        """The figures that belong to the run of a family: of its own tables, and of its studies."""
        known, tables = bool(self.true_risks_of(family)), self.tables_of(family)
        of_studies = figures_of(STUDIES)
        own = [name for name, table in FIGURES.items() if name not in of_studies and table in tables and (known or name != "oracle")]
        return [*own, *figures_of(self.config.studies.run)]

    def study_targets(self, study):
        """The files that a study ends in, for every family."""
        tables, figures = STUDIES[study].tables, STUDIES[study].figures
        files = [*tables, *(f"figures/{name}.{form}" for name in figures for form in FIGURE_FORMATS)]
        return [f"results/{f}/{name}" for f in self.config.families for name in files]

    def published_of(self, family):
        """The table of published values that a family is compared with."""
        return self.config.published[family]

    def bounds_of(self, family):
        return [f"results/{family}/{row.slug}/quantizers/{q}/bound/bounds.json" for row in self.rows_of(family) for q in self.config.quantize_with]

    def certificates_of(self, family):
        """The files that the table of certificates is made from, checkpoint by checkpoint."""
        return [f"{self.certificate_folder(family, row.slug)}/certificate.json" for row in self.rows_of(family)]

    def curvature_of(self, family, name):
        """A file of the study of curvature, checkpoint by checkpoint: spectra.parquet or hessian.json."""
        return [f"results/{family}/{slug}/curvature/{name}" for f, slug in self.checkpoints if f == family]

    def descriptions_of(self, family):
        """The descriptions of the family's checkpoints, in the same order."""
        return [f"results/{family}/{slug}/resolve/resolved.json" for f, slug in self.checkpoints if f == family]

    def true_risks_of(self, family):
        """The true risks of the family's checkpoints on oracle streams, where there are certificates to compare them with."""
        slugs = [row.slug for row in self.rows_of(family) if self._stream(row.stream).kind == "oracle"]
        return [f"{self.certificate_folder(family, slug)}/true_risk.json" for slug in slugs] if self.config.certificate.quantizer else []

    def certificate_folder(self, family, slug):
        return f"results/{family}/{slug}/quantizers/{self.config.certificate.quantizer}/certificate"

    def rows_of(self, family):
        return [row for (f, _), row in self.checkpoints.items() if f == family]

    def runs_of(self, family):
        """Training runs behind a family's rows, in their order."""
        return list(dict.fromkeys(row.repo for row in self.rows_of(family) if row.source == "trained"))

    def curve_rows(self, family):
        """What is said of each row to the command that reads loss curves: the line that it belongs to, and the run that recorded it."""
        rows = self.rows_of(family)
        return [{"slug": row.slug, "line": row.repo, "run": row.repo if row.source == "trained" else None} for row in rows]

    def checkpoint_files(self, run):
        return [f"results/training/{run}/step{k}/{name}" for k in self._run(run).kept_steps() for name in ("config.json", "model.safetensors")]

    # -- where things lie --------------------------------------------------------------------------------------------

    def wheel_files(self, stream):
        return [f"results/streams/{stream}/wheels/{wheel.file}" for wheel in self._stream(stream).wheels]

    def stream_listing(self, stream):
        """What is known of a stream that the workflow does not make: where its rows are and how many."""
        return f"results/streams/{stream}/resolved.json"

    def run_rows(self, run, name):
        """A file of the rows that a training run sees: tokens.bin or stream.json."""
        settings = self._run(run)
        return f"results/streams/{settings.stream}/rows{settings.rows}/{name}"

    def oracle_folder(self, stream):
        """The checkpoint that draws an oracle stream."""
        settings = self._stream(stream)
        return f"results/training/{settings.run}/step{settings.step}"

    def oracle_files(self, stream):
        return [f"{self.oracle_folder(stream)}/{name}" for name in ("config.json", "model.safetensors")]

    def hub_files(self):
        """What `resolve_hub` finds out about every released checkpoint."""
        return [f"results/{family}/{slug}/resolve/hub.json" for (family, slug), row in self.checkpoints.items() if row.source == "hub"]

    def draw_inputs(self, family, slug):
        """{name: file} that a checkpoint's windows are drawn from."""
        row = self.row(family, slug)
        if row.source == "trained":
            return {name: self.run_rows(row.repo, file) for name, file in (("stream", "stream.json"), ("tokens", "tokens.bin"))}
        return {"stream": self.stream_listing(row.stream)}

    def draw_stage(self, family, slug):
        """The command that draws a checkpoint's windows: one of its own where the network is needed."""
        return "fetch-windows" if self.is_remote(self.row(family, slug).stream) else "sample"

    def draw_command(self, family, slug):
        """The command with the options that only it takes."""
        stage = self.draw_stage(family, slug)
        return [stage, "--hub", self.stream_hub_settings()] if stage == "fetch-windows" else [stage]

    def weights_inputs(self, family, slug):
        """{name: file} that the identity of a checkpoint is fixed from."""
        row = self.row(family, slug)
        if row.source == "hub":
            return {"fetched": f"results/{family}/{slug}/fetch/fetched.json"}
        return {name: f"{self.weights_folder(family, slug)}/{name}" for name in self._weights_files(row)}

    def weights_folder(self, family, slug):
        """Where the weights of a trained or local checkpoint lie; those of the hub stay in its cache."""
        row = self.row(family, slug)
        return row.repo.rstrip("/") if row.source == "local" else f"results/training/{row.repo}/{row.revision}"

    def weights_place(self, family, slug):
        """The option that tells `resolve` where the weights are."""
        if self.row(family, slug).source == "hub":
            return ["--fetched", *self.weights_inputs(family, slug).values()]
        return ["--folder", self.weights_folder(family, slug)]

    # -- settings of one job, as JSON --------------------------------------------------------------------------------

    def stream_settings(self, stream):
        return _json(self._stream(stream))

    def rows_settings(self, stream, rows):
        """Only the pin of this number of rows: a pin that is added for another length must not rerun this one."""
        settings = self._stream(stream)
        pins = {key: value for key, value in settings.sha256.items() if key == rows}
        return _json(settings.model_copy(update={"sha256": pins}))

    def training_settings(self, run):
        return _json(self._run(run))

    def draws_used(self):
        """Names of the draws that something is made from."""
        used = {"score", "calibration"}
        used |= {"tuning"} if set(self.quantizers_of("coded")) & set(self.config.quantize_with) else set()
        used |= {"certify"} if self.config.certificate.quantizer is not None else set()
        return [name for name in self.config.sampling.draws() if name in used]

    def draw_settings(self, draw):
        return _json(self.config.sampling.draws()[draw])

    def scoring_settings(self):
        return _json(self.config.scoring)

    def quantizer_settings(self, quantizer):
        return _json(self.config.quantizers[quantizer])

    def nominal_methods(self):
        """{quantizer: method} of those in the run that take a number of bits and aim at no code length."""
        return {name: self.config.quantizers[name].method for name in self.config.quantize_with if name not in self.quantizers_of("coded")}

    def nominal_settings(self):
        return json.dumps(self.nominal_methods(), sort_keys=True)

    def certificate_settings(self):
        """Without what is only shown beside certificates: it must not make any of them again."""
        return _json(self.config.certificate.model_copy(update={"untuned": None}))

    def ceiling_settings(self):
        return _json(self.config.bound.ceilings)

    def bound_settings(self):
        return _json(self.config.bound)

    def study_settings(self, section):
        """A section of `studies`: of a study, or of one of its stages."""
        return _json(getattr(self.config.studies, section))

    def row(self, family, slug):
        return self.checkpoints[(family, slug)]

    def row_settings(self, family, slug):
        """Without the note: words about a checkpoint must not make anything again."""
        return json.dumps(self.row_identity(family, slug), sort_keys=True)

    def row_identity(self, family, slug):
        return self.row(family, slug).model_dump(exclude={"note"})

    def hub_settings(self, repo):
        """How the hub is read, with the pairs of one repository only: those of another must not make anything again."""
        pairs = {name: value for name, value in self.config.hub.known_equal.items() if name == repo}
        return _json(self.config.hub.model_copy(update={"known_equal": pairs}))

    def stream_hub_settings(self):
        return self.hub_settings(None)

    def resolved_config(self, family):
        """Everything that the results of one family follow from: its configuration and its rows of the table."""
        config = self.config.model_copy(update={"families": [family]}).model_dump()
        rows = [row.model_dump() for row in self.rows_of(family)]
        return json.dumps({"config": config, "checkpoints": rows}, sort_keys=True)

    # -- resources ---------------------------------------------------------------------------------------------------

    @cached_property
    def gpus_per_job(self):
        """1 when scoring and quantization will run on a CUDA device, so that the profile's `gpu` total limits them."""
        return int(self.config.scoring.device != "cpu" and os.path.exists("/dev/nvidiactl"))

    def is_remote(self, stream):
        return is_remote(self._stream(stream))

    def hub_slots(self, stream):
        """1 where a job asks the hub, so that the profile's `hf` total keeps it from being asked too often."""
        return int(self.is_remote(stream))

    def training_priority(self, run):
        """The run with most work starts first, so that the last core is not left with it alone."""
        settings = self._run(run)
        return settings.steps * settings.batch_rows * settings.layers * settings.hidden_size**2 // 10**6

    def slugs(self):
        return sorted({slug for _, slug in self.checkpoints})

    def quantizers_of(self, *methods):
        """Names of the quantizers of the given methods."""
        return [name for name, settings in self.config.quantizers.items() if settings.method in methods]

    def grid_quantizers(self):
        """Names of the quantizers that round to fixed grids: quantize, then encode."""
        return [name for name, settings in self.config.quantizers.items() if settings.method != "coded"]

    def streams_of_kind(self, *kinds):
        return {name: settings for name, settings in self.config.streams.items() if settings.kind in kinds}

    def _weights_files(self, row):
        if row.source == "trained":
            return ["config.json", "model.safetensors"]
        found = sorted(path.name for path in Path(row.repo).glob("*.safetensors"))
        index = ["model.safetensors.index.json"] if (Path(row.repo) / "model.safetensors.index.json").exists() else []
        # without any, the name that is missing is the one that the message should show
        return ["config.json", *index, *(found or ["model.safetensors"])]

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
    return json.dumps(model.model_dump(mode="json"), sort_keys=True)
