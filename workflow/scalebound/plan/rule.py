"""What one kind of job reads, writes and depends on, stated once: rules are made from it, and the audit checks results against it."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from types import SimpleNamespace

from scalebound.artifacts.code_digest import stage_digest
from scalebound.plan.braces import braced

FAMILY = "results/{family}"
CHECKPOINT = "results/{family}/{slug}"
QUANTIZER = "results/{family}/{slug}/quantizers/{quantizer}"
STREAM = "results/streams/{stream}"
SHORT = "short"  # the group of tables and figures, jobs of seconds


@dataclass(frozen=True)
class Job:
    """One job: `outputs` maps each file to the one that carries its identity, `inputs` are {name: file} as its identity records them.

    `given` are {option: path or list of paths} of what its command is told to read, `settings` is what the identity must hold, and
    `files` maps a JSON artifact to the files, named by their paths, that it must vouch for with their digests.
    """

    rule: str
    stage: str
    record: str
    log: str
    outputs: dict
    inputs: dict
    given: dict
    settings: dict
    files: dict
    chosen: str | None = None


@dataclass(frozen=True)
class Rule:
    """All jobs of one kind. Paths are templates with Snakemake's wildcards, or functions of these that return a path or a list of paths.

    stage: the command, or a function of the wildcards that returns it.
    outputs: {option: path} of what the command is told to write; `beside` are {name: path or list} that it writes without being told.
    inputs: {option: path or list} that the command is given; its identity records them by option, those of a list by their paths.
    implied: files that it finds by itself, and records by their paths; `needs`: others that must be there, which it checks by itself.
    settings: function of the wildcards: the section of the configuration that determines the content, passed as --settings.
    recorded: what the identity holds of them, where that is another choice.
    options: function of the wildcards: {option: value} of what is passed besides.
    chosen: function of the wildcards: the module that the command takes, where it imports one by a computed name.
    vouches: {name of a JSON output: names of the outputs and inputs that it lists with their digests}.
    record: where the run record goes; `x.log` lies beside `x.run.json`, `<stage>.log` beside `run.json`.
    report: {option: (caption, what it is)} of the outputs that the HTML report shows.
    cores: CPU threads that a job takes by itself, or a function of the wildcards; `threads`: whether its command is told how many Snakemake gives it.
    network: whether its jobs connect to something else than the hub; `hub` says it of the hub, where it can be a function of the wildcards.
    group: on a cluster, jobs of one group that follow from each other are submitted together.
    """

    name: str
    stage: str | Callable
    outputs: dict
    record: str
    inputs: dict = field(default_factory=dict)
    beside: dict = field(default_factory=dict)
    implied: Callable | None = None
    needs: Callable | None = None
    settings: Callable | None = None
    recorded: Callable | None = None
    options: Callable | None = None
    chosen: Callable | None = None
    vouches: dict = field(default_factory=dict)
    constraints: dict = field(default_factory=dict)
    report: dict = field(default_factory=dict)
    threads: bool = False
    cores: Callable | int = 1
    gpu: bool = False
    hub: bool | Callable = False
    network: bool = False
    group: str | None = None
    priority: int = 0
    retries: int = 0

    # -- for Snakemake -----------------------------------------------------------------------------------------------

    @property
    def products(self):
        """{name: path or list} of all outputs, the run record among them."""
        return self.outputs | self.beside | {"record": self.record}

    @property
    def log(self):
        return log_of(self.record, self.stage if isinstance(self.stage, str) else self.name)

    @property
    def shell(self):
        return "python -m scalebound {params.words:q}" + (" --threads {threads}" if self.threads else "") + " --record {output.record:q} 2>&1 | tee {log:q}"

    @property
    def hub_slots(self):
        """1 where a job asks the hub, so that the profile's `hf` total keeps it from being asked too often."""
        return (lambda wildcards: int(self.hub(wildcards))) if callable(self.hub) else int(self.hub)

    @property
    def local(self):
        """Whether its jobs stay on the machine that runs snakemake: nodes of a cluster often reach nothing outside."""
        return bool(self.hub) or self.network

    def sources(self, wildcards):
        """{name: path or list} of all that must be there before a job starts."""
        found = self._inputs(wildcards)
        for name in ("implied", "needs"):
            if getattr(self, name) is not None:
                found[name] = getattr(self, name)(wildcards)
        return found

    def words(self, wildcards):
        """The command line of a job; that of the run record and the number of threads, which do not make it another job, come behind."""
        words = [self.stage_of(wildcards)]
        if self.settings is not None:
            words += ["--settings", as_json(self.settings(wildcards))]
        for option, value in (self.options(wildcards) if self.options else {}).items():
            words += [_dashed(option), str(value)]
        for option, paths in self._inputs(wildcards).items():
            words += [_dashed(option), *(braced(paths) if isinstance(paths, list) else [paths])] if paths else []
        for option, path in self.outputs.items():
            words += [_dashed(option), _filled(path, wildcards)]
        return words

    def code(self, wildcards):
        """The digest of the stage's code, so that an edit of what it uses runs its jobs again."""
        of = self.stage_of(wildcards), self._chosen(wildcards)
        if of not in self._digests:
            # the same for all jobs: to work it out for each takes longer than all else that planning does
            self._digests[of] = stage_digest(*of)
        return self._digests[of]

    # -- for the audit -----------------------------------------------------------------------------------------------

    def job(self, path):
        """The job that makes the file, or None where none of this rule does."""
        for pattern in self._patterns:
            if found := pattern.fullmatch(path):
                return self._job(SimpleNamespace(**found.groupdict()))
        return None

    def _job(self, wildcards):
        stage = self.stage_of(wildcards)
        made = {name: _listed(_filled(path, wildcards)) for name, path in (self.outputs | self.beside).items()}
        read = self._inputs(wildcards)
        inputs = {name: path for name, path in read.items() if isinstance(path, str)}
        implied = self.implied(wildcards) if self.implied else []
        inputs |= {path: path for paths in (*read.values(), implied) if isinstance(paths, list) for path in paths}
        lists = made | {name: _listed(path) for name, path in read.items()} | {"implied": implied}
        vouched = {carrier: [path for name in names for path in lists.get(name, [])] for carrier, names in self.vouches.items()}
        files = {made[carrier][0]: paths for carrier, paths in vouched.items() if paths}
        carriers = {path: carrier for carrier, paths in files.items() for path in paths}
        record, settings = _filled(self.record, wildcards), self.recorded or self.settings or (lambda w: {})
        outputs = {path: carriers.get(path, path) for paths in made.values() for path in paths}
        log = log_of(record, stage if isinstance(self.stage, str) else self.name)
        return Job(self.name, stage, record, log, outputs, inputs, read, settings(wildcards), files, self._chosen(wildcards))

    @cached_property
    def _patterns(self):
        paths = [path for value in (self.outputs | self.beside).values() for path in _listed(value)]
        return [re.compile(_pattern(path, self.constraints)) for path in paths]

    @cached_property
    def _digests(self):
        """{(stage, chosen module): digest} of this plan, whose code is that of the moment when it was made."""
        return {}

    @cached_property
    def names(self):
        """Last parts of the outputs' paths, by which a file's rule is looked for; one with a wildcard stands for all."""
        return {PurePosixPath(path).name for value in (self.outputs | self.beside).values() for path in _listed(value)}

    def stage_of(self, wildcards):
        return self.stage if isinstance(self.stage, str) else self.stage(wildcards)

    def _chosen(self, wildcards):
        return self.chosen(wildcards) if self.chosen else None

    def _inputs(self, wildcards):
        return {name: _filled(path, wildcards) for name, path in self.inputs.items()}


def log_of(record, stage):
    """Where a job's words go, by the place of its run record."""
    path = PurePosixPath(record)
    return str(path.with_name(f"{stage}.log") if path.name == "run.json" else path.with_name(path.name.removesuffix("run.json") + "log"))


def as_json(settings):
    return json.dumps(settings, sort_keys=True)


def alternatives(names):
    """A wildcard constraint that matches exactly the given names."""
    return "|".join(re.escape(name) for name in sorted(names)) or "(?!)"


def _filled(path, wildcards):
    return path(wildcards) if callable(path) else path.format(**vars(wildcards)) if isinstance(path, str) and "{" in path else path


def _listed(paths):
    return paths if isinstance(paths, list) else [paths]


def _pattern(path, constraints):
    parts, seen = re.split(r"\{(\w+)\}", path), set()
    for k in range(1, len(parts), 2):
        name = parts[k]
        parts[k] = f"(?P={name})" if name in seen else f"(?P<{name}>{constraints.get(name, '[^/]+')})"
        seen.add(name)
    return "".join(part if k % 2 else re.escape(part) for k, part in enumerate(parts))


def _dashed(option):
    return "--" + option.replace("_", "-")
