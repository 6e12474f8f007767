"""What follows from the validated configuration: the rows that are selected, the rules of their jobs, and the files to make."""

import difflib
import json
import os
from functools import cached_property

from scalebound.artifacts.model_files import model_files
from scalebound.artifacts.provenance import check_keys, read_json
from scalebound.configuration import checkpoints
from scalebound.configuration.config import parse, parse_config
from scalebound.errors import InputError
from scalebound.plan import stages, studies
from scalebound.plan.stages.figures import FIGURE_FORMATS, FIGURES

REFERENCES = "references"  # the family of released checkpoints that are there for others, results/references/


class Plan:
    """The configuration and the selected rows of the table of checkpoints, with the questions that declarations of jobs ask."""

    def __init__(self, config, rows):
        rows = checkpoints.select(rows, config.families, config.checkpoints)
        checkpoints.check_against(rows, config, config.checkpoints)
        studies.check_names(config.studies.run)
        self.config = config
        self.checkpoints = {(row.family, row.slug): row for row in rows}

    @classmethod
    def from_configuration(cls, value):
        """The plan of a configuration (a dict), with the table of checkpoints that it names."""
        config = parse_config(value)
        table = checkpoints.read_table(config.checkpoints)
        checkpoints.check_certified(table, config.certificate, config.checkpoints)
        plan = cls(config, table)
        for row in plan.checkpoints.values():
            if row.source == "local":
                # a folder that could be two models is refused here, in one line, and not by a rule that asks for its files
                model_files(row.repo)
        return plan

    @classmethod
    def from_results(cls, path):
        """The plan of a family that has been run, from results/<family>/config.json alone."""
        saved = read_json(path, "resolved-config")
        check_keys(saved, {"config": dict, "checkpoints": list}, path)
        rows = [parse(checkpoints.Checkpoint, row, path) for row in saved["checkpoints"]]
        return cls(parse_config(saved["config"], path), rows)

    # -- rules and jobs ----------------------------------------------------------------------------------------------

    @cached_property
    def rules(self):
        """Every kind of job, those of the studies among them."""
        return [*stages.rules(self), *(rule for study in studies.STUDIES.values() for rule in study.rules(self))]

    def job(self, path):
        """The job that makes a file, or None for what comes from outside."""
        name = path.rsplit("/", 1)[-1]
        found = (rule.job(path) for rule in (*self._rules_of.get(name, ()), *self._rules_of_any))
        return next((job for job in found if job), None)

    def jobs_behind(self, targets):
        """Every job that the targets follow from, each behind those that it needs."""
        jobs, todo = {}, [(path, False) for path in reversed(targets)]
        while todo:
            path, ready = todo.pop()
            job = path if ready else self.job(path)
            if job is None or job.record in jobs:
                continue
            if ready:
                jobs[job.record] = job
            else:
                todo.append((job, True))
                todo += [(name, False) for name in reversed(list(job.inputs.values()))]
        return list(jobs.values())

    def jobs_of(self, family, *also):
        """Every job behind the results of one family; `also` are studies beside those of the run."""
        return self.jobs_behind(self.targets_of(family, *also))

    @cached_property
    def _rules_of(self):
        named = {}
        for rule in self.rules:
            for name in rule.names:
                named.setdefault(name, []).append(rule)
        return named

    @property
    def _rules_of_any(self):
        return [rule for name, rules in self._rules_of.items() if "{" in name for rule in rules]

    # -- what to make ------------------------------------------------------------------------------------------------

    def targets(self):
        """The files that the run ends in, for every family."""
        return [path for family in self.config.families for path in self.targets_of(family)]

    def targets_of(self, family, *also):
        tables, figures = self.tables_of(family), self.figures_of(family)
        for name in also:
            tables, figures = [*tables, *studies.STUDIES[name].tables], [*figures, *studies.STUDIES[name].figures]
        files = ["config.json", *tables, *(f"figures/{name}.{form}" for name in figures for form in FIGURE_FORMATS)]
        return [f"results/{family}/{name}" for name in dict.fromkeys(files)]

    def study_targets(self, study):
        """The files that a study ends in, for every family."""
        tables, figures = studies.STUDIES[study].tables, studies.STUDIES[study].figures
        files = [*tables, *(f"figures/{name}.{form}" for name in figures for form in FIGURE_FORMATS)]
        return [f"results/{f}/{name}" for f in self.config.families for name in files]

    def tables_of(self, family):
        """The tables that a family has in the run."""
        compared = ["comparison.csv"] if family in self.config.published else []
        certified = ["certificates.csv"] if self.certified_of(family) else []
        return ["bounds.csv", *compared, *certified, *(table for name in self.config.studies.run for table in studies.STUDIES[name].tables)]

    def figures_of(self, family):
        """The figures that belong to the run of a family: of its own tables, and of its studies."""
        known, tables = any(self.config.streams[row.stream].kind == "oracle" for row in self.rows_of(family)), self.tables_of(family)
        own = [name for name, table in FIGURES.items() if table in tables and (known or name != "oracle")]
        return [*own, *(figure for name in self.config.studies.run for figure in studies.STUDIES[name].figures)]

    @cached_property
    def gpus_per_job(self):
        """1 when scoring and quantization will run on a CUDA device, so that the profile's `gpu` total limits them."""
        return int(self.config.scoring.device != "cpu" and os.path.exists("/dev/nvidiactl"))

    @property
    def hub_files(self):
        """What `resolve_hub` finds out about every released checkpoint, those that are references among them."""
        return [hub_file(row) for family in self.config.families for row in self.released_of(family)]

    # -- rows, runs, quantizers, streams -----------------------------------------------------------------------------

    def row(self, family, slug):
        """The row of a checkpoint, or of a reference. Raises InputError when there is none of the name."""
        try:
            return self._references[slug] if family == REFERENCES else self.checkpoints[(family, slug)]
        except KeyError:
            near = difflib.get_close_matches(slug, self.slugs(), 1)
            remedy = f"Did you mean {near[0]}?" if near else f"The rows are in {self.config.checkpoints}"
            raise InputError(f"results/{family}/{slug}", "no row of the table of checkpoints", remedy) from None

    def rows_of(self, family):
        return [row for (f, _), row in self.checkpoints.items() if f == family]

    def released_of(self, family):
        """Rows of the released checkpoints of a family, and behind them those of their references."""
        rows = [row for row in self.rows_of(family) if row.source == "hub"]
        return [*rows, *{reference.slug: reference for row in rows for reference in self.references_of(row)}.values()]

    def history_of(self, row):
        """What the references of a row follow from, {step, steps, rows_per_step}; None where it has none, as where nobody knows the order of its rows."""
        place = row.family, row.slug, row.step
        if place not in self._histories:
            # every job of a row asks for it
            self._histories[place] = self._history_of(row)
        return self._histories[place]

    @cached_property
    def _histories(self):
        return {}

    def _history_of(self, row):
        if row.source == "trained":
            run = self.run(row.repo)
            steps, rows_per_step = [step for step in run.reference_steps() if step < row.step], run.batch_rows
        elif row.source == "hub" and row.family in self.config.history and self.stream_of(row).unbiased and self.stream_of(row).kind == "megatron":
            steps, rows_per_step = self.config.history[row.family].before(row.step), self.stream_of(row).rows_per_step
        else:
            return None
        return {"step": row.step, "steps": steps, "rows_per_step": rows_per_step} if steps else None

    def references_of(self, row):
        """Rows of the released checkpoints that are references of a row: earlier steps of the same repository."""
        history = self.history_of(row) if row.source == "hub" else None
        return [_reference(row, step, self.stream_of(row)) for step in (history["steps"] if history else [])]

    @cached_property
    def _references(self):
        return {reference.slug: reference for row in self.checkpoints.values() for reference in self.references_of(row)}

    def method_of(self, row):
        """How a row is certified: as the configuration says, or by the best that its history allows."""
        return self.config.certificate.method or ("online" if self.history_of(row) else "geometric")

    def files_of(self, family, template):
        """A file of each checkpoint of the family; the template names it by {family} and {slug}."""
        return [template.format(family=family, slug=row.slug) for row in self.rows_of(family)]

    def runs_of(self, family):
        """Training runs behind a family's rows, in their order."""
        return list(dict.fromkeys(row.repo for row in self.rows_of(family) if row.source == "trained"))

    def slugs(self):
        return sorted({slug for _, slug in self.checkpoints} | set(self._references))

    def certified_of(self, family):
        """The rows of a family that are certified."""
        return [row for row in self.rows_of(family) if checkpoints.is_certified(row, self.config.certificate)]

    def quantizers_of_row(self, row):
        """Names of the quantizers that a row is run with: those of certificates only where it is certified."""
        certificate = self.config.certificate
        aside = () if certificate.checkpoints is None or checkpoints.is_certified(row, certificate) else (certificate.quantizer, certificate.untuned)
        return [name for name in self.config.quantize_with if name not in aside or name == self.config.paper_quantizer]

    def quantizers_of(self, *methods):
        """Names of the quantizers of the given methods."""
        return [name for name, settings in self.config.quantizers.items() if settings.method in methods]

    def streams_of_kind(self, *kinds):
        return {name: settings for name, settings in self.config.streams.items() if settings.kind in kinds}

    def stream_of(self, row):
        return self.config.streams[row.stream]

    def run(self, name):
        """Settings of a training run. Raises InputError when there is none of the name."""
        try:
            return self.config.training[name]
        except KeyError:
            raise InputError("configuration: training", f"no run {name!r}", f"Known runs: {', '.join(sorted(self.config.training))}") from None

    def run_rows(self, run, name):
        """A file of the stream whose first rows a training run sees: tokens.bin or stream.json."""
        return f"results/streams/{self.run(run).stream}/rows/{name}"

    def threads_of(self, row):
        """CPU threads that its codes are tuned with, and its students taught: those that its run was trained with, one if it was not trained here."""
        return self.run(row.repo).threads if row.source == "trained" else 1

    def resolved_config(self, family):
        """Everything that the results of one family follow from but its rows of the table, as JSON."""
        return json.dumps(self.config.model_copy(update={"families": [family]}).model_dump(mode="json"), sort_keys=True)


def hub_file(row):
    return f"results/{row.family}/{row.slug}/resolve/hub.json"


def _reference(row, step, stream):
    slug = f"{row.repo.replace('/', '--').lower()}-step{step}"
    return row.model_copy(
        update={"family": REFERENCES, "slug": slug, "revision": f"step{step}", "step": step, "tokens_seen": stream.predictions_seen(step), "note": ""}
    )
