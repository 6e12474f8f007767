"""A results folder as an RO-Crate: which job made each file, from what, with which code, packages and parameters.

The crate follows Provenance Run Crate (https://w3id.org/ro/wfrun/provenance). Its root is the results folder, so that every
artifact is described where it lies, and only the workflow's own files are copied in; or it is an archive (`audit.release`), which
leaves large files out. Whatever it says comes from run records, identities and copied files, never from the clock or the machine:
the same folder gives the same bytes.
"""

import functools
import hashlib
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from rocrate.model import ComputationalWorkflow, ContextEntity
from rocrate.rocrate import ROCrate

import scalebound
from scalebound.artifacts import atomic
from scalebound.artifacts.code_digest import ROOT, stage_digest
from scalebound.artifacts.provenance import file_sha256, read_json
from scalebound.audit.records import families, is_family_file, read_jobs
from scalebound.commands import described
from scalebound.errors import InputError

METADATA = "ro-crate-metadata.json"
CHECKOUT = ROOT.parent.parent
MAIN = "workflow/Snakefile"
PARTS = ("Snakefile", "LICENSE", "README.md", "CITATION.cff", "Makefile", "pyproject.toml", "config", "envs", "profiles", "workflow")

# Workflow Run Crate 0.5 builds on RO-Crate 1.1: the newest pair that a validator checks
VERSION = "1.1"
TERMS = "https://w3id.org/ro/terms/workflow-run/context"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
LICENSE = ("https://spdx.org/licenses/MIT", "MIT License")
ENCODINGS = {
    ".bin": "application/octet-stream",
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".py": "text/x-python",
    ".rst": "text/x-rst",
    ".safetensors": "application/octet-stream",
    ".sbq": "application/octet-stream",
    ".toml": "application/toml",
    ".tsv": "text/tab-separated-values",
    ".whl": "application/zip",
    ".yaml": "application/yaml",
}
TYPES = {bool: "Boolean", int: "Integer", float: "Float", str: "Text"}
VALUES = ("bounds.json", "certificate.json")  # which say of themselves what kind of statement they are
USAGE = {"wall_s": "SEC", "cpu_s": "SEC", "peak_rss_bytes": "BYTE", "peak_cuda_bytes": "BYTE"}
DETERMINING = ("device", "dtype", "threads")  # facts of an identity that the job chose, beside its settings


@dataclass(frozen=True)
class Layout:
    """Where a crate has its files, as beginnings of their names in it: the results, and the copy of the workflow.

    `holds` tells of a path in the results whether the crate has the file; the others are described with their digests, and are no
    data of the crate. `beside` are {name: what it is} of files that no job made.
    """

    results: str
    copy: str
    holds: Callable[[str], bool] = lambda path: True
    beside: dict | None = None


def write(results, out):
    """Write `results`/ro-crate-metadata.json and, under `out`, a copy of the workflow; returns the files made.

    Raises:
        InputError: `out` lies outside of `results`, the package lies outside of its workflow, or the records under
            `results` are missing, damaged, or leave a file unexplained.
    """
    results, out = Path(results), Path(out)
    if results.resolve() not in out.resolve().parents:
        raise InputError(out, f"not inside of {results}", "A crate holds all its files: name a folder in it")
    place = out.resolve().relative_to(results.resolve())
    jobs = read_jobs(results, results / place)
    copied = copy_workflow(results / place)
    metadata = describe(results, jobs, results, copied, Layout("", f"{place.as_posix()}/"))
    atomic.write_json(results / METADATA, metadata)
    return [results / METADATA, *(results / place / name for name in copied)]


def copy_workflow(out):
    """Copy what a run needs from the checkout of this package to `out`; returns the sorted names of the files.

    Raises:
        InputError: the package does not lie in a checkout of the workflow.
    """
    if not (CHECKOUT / MAIN).is_file():
        raise InputError(ROOT, f"no {MAIN} beside the package", "Run the package of a checkout: python -m scalebound, with its workflow/ in PYTHONPATH")
    names = sorted(path.relative_to(CHECKOUT).as_posix() for part in PARTS for path in _files(CHECKOUT / part))
    for name in names:
        data, target = (CHECKOUT / name).read_bytes(), Path(out) / name
        if not target.is_file() or target.read_bytes() != data:
            atomic.write_bytes(target, data)
    return names


def describe(results, jobs, root, copied, layout):
    """The metadata, as a JSON value, of `jobs` under `results` and of the workflow's files `copied`, as `layout` names them.

    What is no result lies under `root` by its name in the crate.
    """
    description = _Description(Path(results), jobs, Path(root), copied, layout)
    value = description.crate.metadata.generate()
    return {**value, "@graph": [_compact(entity) for entity in value["@graph"]]}


class _Description:
    """Builds the entities; each method adds what it needs and returns it, so that an entity is made once."""

    def __init__(self, results, jobs, root, copied, layout):
        self.results, self.jobs, self.place, self.layout = results, jobs, root, layout
        self.copy, self.code = layout.copy, layout.copy or "workflow/"
        # checked already when the records were read; training leaves more bytes than one wants to hash twice
        self.digests = {path: sha256 for job in jobs for path, sha256 in job.outputs.items()}
        self.made, self.slots, self.left_out = {}, {}, {}
        self.crate = ROCrate(version=VERSION)
        self.crate.metadata.extra_contexts.append(TERMS)
        self.license = self.entity(LICENSE[0], "CreativeWork", name=LICENSE[1])
        self.authors = self.entity("#authors", "Organization", name="The scalebound authors")
        self.workflow = self.main_workflow(copied)
        self.actions = [self.action(job) for job in jobs]
        self.steps = {stage: self.step(stage, position) for stage, position in _positions(jobs).items()}
        for name, what in (layout.beside or {}).items():
            self.own_file(name, description=what)
        self.root(self.run())
        for identifier, parameters in self.slots.items():
            self.crate.get(identifier)["input"] = list(parameters.values())

    # -- the crate and the workflow ----------------------------------------------------------------------------------

    def root(self, run):
        names, kinds = ", ".join(families(self.results)), ", ".join(sorted(self.kinds()))
        root = self.crate.root_dataset
        root["name"] = f"scalebound: bounds of {names}"
        root["description"] = (
            f"Generalization bounds (kind: {kinds}) of the language models of {names}, {self.files_note()}, and a record of each of"
            f" the {len(self.jobs)} jobs that made them. {self.data_note()} {self.code_note()}"
        )
        root["datePublished"] = _time(max(job.ended for job in self.jobs))
        root["license"], root["author"] = self.license, self.authors
        root["conformsTo"] = [self.entity(url, "CreativeWork", name=name, version=url.rsplit("/", 1)[1]) for url, name in PROFILES.items()]
        root["mentions"] = [run, *self.actions]
        # as Workflow RO-Crate wants it, which counts itself among the crate's formats
        self.crate.metadata["conformsTo"] = [{"@id": f"https://w3id.org/ro/crate/{VERSION}"}, {"@id": list(PROFILES)[-1]}]

    def kinds(self):
        """What the bounds call themselves, certificates among them: an estimate must not pass for a certificate here either."""
        bounds = [path for job in self.jobs if job.stage in ("bound", "certify") for path in job.outputs if PurePosixPath(path).name in VALUES]
        return {read_json(self.results / path).get("kind", "unknown") for path in bounds}

    def files_note(self):
        if not self.left_out:
            return "every file that they follow from"
        size = sum(int(entity["contentSize"]) for entity in self.left_out.values())
        return f"the files that they follow from except {len(self.left_out)} of {size} bytes, which are described with their sha256 and not in here"

    def data_note(self):
        if self.left_out:
            return "Texts and tokens in here are data of third parties under licenses of their own."
        return "Wheels under streams/ are data of third parties under licenses of their own."

    def code_note(self):
        older = sum(not _is_current(job) for job in self.jobs)
        return f"{older} jobs ran other code than that in {self.code}; their tools say so." if older else f"All ran the code in {self.code}."

    def main_workflow(self, copied):
        main = f"{self.copy}{MAIN}"
        facts = _file_facts(main, self.place / main, encoding="text/plain")
        workflow = self.crate.add_workflow(self.place / main, main, main=True, lang="snakemake", cls=ComputationalWorkflow, properties=facts)
        # a workflow that tells its steps is a HowTo as well
        workflow.properties()["@type"] = [*ComputationalWorkflow.TYPES, "HowTo"]
        workflow["name"], workflow["version"] = "scalebound", scalebound.__version__
        workflow["license"], workflow["author"] = self.license, self.authors
        files = {name: self.own_file(f"{self.copy}{name}", isPartOf=workflow) for name in copied if name != MAIN}
        for key, name in {"url": "README.md", "softwareRequirements": "envs/scalebound.yaml"}.items():
            if name in files:
                workflow[key] = files[name]
        return workflow

    def step(self, stage, position):
        """One step a stage: the rules of a stage differ only in what they are applied to."""
        tools = _unique(self.tool(job) for job in self.jobs if job.stage == stage)
        step = self.entity(f"{self.workflow.id}#{stage}", "HowToStep", name=stage, position=position, workExample=tools)
        self.workflow.append_to("step", step)
        self.workflow.append_to("hasPart", tools)
        return step

    def run(self):
        """All jobs as one run, however many calls of snakemake it took."""
        names = ", ".join(families(self.results))
        parameters = [entity for job in self.jobs for entity in self.parameters(job) if job.stage == "resolved-config"]
        external = [entity for job in self.jobs for entity in self.externals(job)]
        run = self.entity("#run", "CreateAction", name=f"Run of scalebound for {names}", instrument=self.workflow)
        run["description"] = "Every call of snakemake that these results come from, taken as one run"
        run["startTime"], run["endTime"] = _time(min(job.started for job in self.jobs)), _time(max(job.ended for job in self.jobs))
        run["object"] = _unique(external + parameters)
        run["result"] = [self.file(path) for job in self.jobs for path in sorted(job.outputs) if is_family_file(path)]
        self.organize(run)
        return run

    def organize(self, run):
        note = f"Records do not hold its version; {self.copy}envs/requirements.txt names the one that the workflow is locked to"
        engine = self.entity("#snakemake", "SoftwareApplication", name="Snakemake", url="https://snakemake.readthedocs.io", description=note)
        controls = [
            self.entity(f"#control/{job.path}", "ControlAction", name=f"control of {job.stage}: {_name(job)}", instrument=self.steps[job.stage], object=action)
            for job, action in zip(self.jobs, self.actions)
        ]
        self.entity("#engine", "OrganizeAction", name="Runs of Snakemake", instrument=engine, object=controls, result=run)

    # -- jobs --------------------------------------------------------------------------------------------------------

    def action(self, job):
        action = self.entity(f"#job/{job.path}", "CreateAction", name=f"{job.stage}: {_name(job)}", instrument=self.tool(job))
        action["description"] = _command(job)
        action["startTime"], action["endTime"], action["location"] = _time(job.started), _time(job.ended), self.host(job)
        action["object"] = [self.file(path) for path in sorted(job.inputs)] + self.externals(job) + self.parameters(job)
        action["result"] = [self.file(path) for path in sorted(job.outputs)]
        action["resourceUsage"] = self.usage(job)
        for path in (job.path, job.log):
            if (self.results / path).is_file() and self.layout.holds(path):
                self.file(path, about=action)
        return action

    def externals(self, job):
        """What came from outside of the crate: distributions whose wheels a job downloaded, released weights, files of the user."""
        if job.stage != "fetch-corpus":
            return [
                self.entity(f"#external/{quote(name)}", "CreativeWork", name=name, sha256=sha256, identifier=sha256)
                for name, sha256 in sorted(job.external.items())
            ]
        return [
            self.entity(_purl(wheel["name"], wheel["version"]), "CreativeWork", name=f"{wheel['name']} {wheel['version']}", version=wheel["version"])
            for wheel in job.identity["settings"]["wheels"]
        ]

    def parameters(self, job):
        """The settings of a job as PropertyValues; those of `resolved-config`, a family's configuration, are the workflow's."""
        if job.stage == "resolved-config":
            (path,) = job.outputs
            return [self.parameter("workflow", self.workflow, *item) for item in _flatten(read_json(self.results / path)["config"])]
        used = {key: job.identity[key] for key in DETERMINING if key in job.identity}
        tool, settings = self.tool(job), {**job.identity["settings"], "used": used}
        return [self.parameter(job.stage, tool, *item) for item in _flatten(settings)]

    def parameter(self, owner, tool, name, value):
        formal = self.entity(f"#parameter/{owner}/{name}", "FormalParameter", name=name, additionalType=TYPES[type(value)])
        self.slots.setdefault(tool.id, {})[formal.id] = formal
        text = value if isinstance(value, str) else json.dumps(value)
        mark = text if len(text) <= 80 else _digest(value)
        return self.entity(f"{formal.id}={quote(mark, safe='')}", "PropertyValue", name=name, value=value, exampleOfWork=formal)

    def tool(self, job):
        """The command of a stage as it was: jobs share it when code, packages, Python and commit are equal."""
        identity = job.identity
        facts = [job.stage, _version(job), identity["code"], identity["packages"], identity["python"]]
        url = self.crate.get(f"{self.copy}workflow/scalebound/commands/{job.stage.replace('-', '_')}.py") if _is_current(job) else None
        source = {"url": url} if url else {}
        note = "" if url else f"; its code is not that of {self.code}"
        code = self.entity(f"#code/{identity['code']}", "PropertyValue", name="code digest", propertyID="scalebound.code_digest", value=identity["code"])
        return self.entity(
            f"#tool/{job.stage}/{_digest(facts)}",
            "SoftwareApplication",
            name=f"scalebound {job.stage}",
            description=f"{described(job.stage).what}{note}",
            softwareVersion=_version(job),
            identifier=code,
            softwareRequirements=[self.package("generic", "python", identity["python"])]
            + [self.package("pypi", *item) for item in sorted(identity["packages"].items())],
            **source,
        )

    def package(self, kind, name, version):
        purl = _purl(name, version, kind)
        return self.entity(purl, "SoftwareApplication", name=name, softwareVersion=version, url=purl)

    def host(self, job):
        record = job.record
        return self.entity(f"#host/{quote(record['host'])}/{_digest(record['platform'])}", "Place", name=record["host"], description=record["platform"])

    def usage(self, job):
        found = {key: job.record[key] for key in USAGE if job.record.get(key) is not None}
        source = f"{self.copy}workflow/scalebound/artifacts/provenance.py"
        return [
            self.entity(
                f"#usage/{job.path}/{key}",
                "PropertyValue",
                name=key,
                value=value,
                propertyID=f"{source}#{key}",
                unitCode=f"https://qudt.org/vocab/unit/{USAGE[key]}",
            )
            for key, value in found.items()
        ]

    # -- entities ----------------------------------------------------------------------------------------------------

    def entity(self, identifier, kind, /, **properties):
        """The contextual entity of that identifier (a valid URI reference), made now if it is new."""
        if identifier not in self.made:
            self.made[identifier] = self.crate.add(ContextEntity(self.crate, identifier, properties={"@type": kind, **properties}))
        return self.made[identifier]

    def file(self, path, **properties):
        """The entity of a file of the results, which stays where it is; of one that the crate leaves out, what it was."""
        name = f"{self.layout.results}{path}"
        facts = {**_file_facts(name, self.results / path, self.digests.get(path)), **properties}
        if not self.layout.holds(path):
            note = {"identifier": facts["sha256"], "description": "Not in this crate: the workflow makes or fetches it again"}
            self.left_out[path] = self.entity(f"#left-out/{quote(name)}", "CreativeWork", **{**facts, **note})
            return self.left_out[path]
        return self.data(name, self.results / path, facts)

    def own_file(self, name, **properties):
        """The entity of a file that is no result."""
        return self.data(name, self.place / name, {**_file_facts(name, self.place / name), **properties})

    def data(self, name, place, facts):
        if name not in self.made:
            self.made[name] = self.crate.add_file(place, name, properties=facts)
        return self.made[name]


def _file_facts(name, place, sha256=None, encoding=None):
    note = {"description": "A distribution of a third party, read as data; its license is in its METADATA"} if place.suffix == ".whl" else {}
    return note | {
        "name": name,
        "sha256": sha256 or file_sha256(place),
        "contentSize": str(place.stat().st_size),
        "encodingFormat": encoding or ENCODINGS.get(PurePosixPath(name).suffix, "text/plain"),
    }


def _files(path):
    """A file itself, or what lies below a folder; nothing hidden and nothing that Python or pip left there."""
    if path.is_file():
        return [path]
    parts = [part for part in sorted(path.glob("*")) if not part.name.startswith(".") and part.suffix not in (".pyc", ".egg-info")]
    return [file for part in parts if part.name != "__pycache__" for file in _files(part)]


def _name(job):
    """What the job is about, for readers: the record's path without its ending."""
    return job.path.removesuffix("run.json").rstrip("./")


def _command(job):
    return shlex.join(["scalebound", job.stage, *job.record["arguments"]])


def _version(job):
    """The package's version with the commit as PEP 440's local part, `.modified` when the checkout had other edits."""
    git = job.record["git"]
    if not git.get("commit"):
        return job.identity["scalebound"]
    return f"{job.identity['scalebound']}+g{git['commit']}{'' if git['clean'] else '.modified'}"


def _is_current(job):
    return job.identity["code"] == _current_code(job.stage, job.identity["settings"].get("figure"))


@functools.cache
def _current_code(stage, chosen):
    try:
        return stage_digest(stage, chosen)
    except ModuleNotFoundError:
        return None


def _positions(jobs):
    """{stage: place in an order in which each stage comes after those whose outputs it reads}; 0 for all if there is none.

    Stages may read each other's outputs: a code has its price from scores, and its model is scored. Of these, the one whose last job
    has less behind it comes first.
    """
    makers = {path: job for job in jobs for path in job.outputs}
    before = {stage: set() for stage in sorted({job.stage for job in jobs})}
    for job in jobs:
        before[job.stage] |= {makers[path].stage for path in job.inputs} - {job.stage}
    try:
        last = _last_depths(jobs, makers)
        behind = {stage: _reached(stage, before) for stage in before}
        kept = {stage: sorted(o for o in others if stage not in behind[o] or last[o] < last[stage]) for stage, others in before.items()}
        return {stage: place for place, stage in enumerate(TopologicalSorter(kept).static_order(), start=1)}
    except CycleError:
        return dict.fromkeys(before, 0)


def _last_depths(jobs, makers):
    """{stage: the number of jobs in the longest chain that leads to one of its jobs}."""
    reads, depths, last = {job.path: sorted({makers[path].path for path in job.inputs}) for job in jobs}, {}, {}
    for path in TopologicalSorter(reads).static_order():
        depths[path] = 1 + max((depths[other] for other in reads[path]), default=0)
    for job in jobs:
        last[job.stage] = max(depths[job.path], last.get(job.stage, 0))
    return last


def _reached(stage, before):
    """All stages whose outputs a stage follows from."""
    found, pending = set(), [stage]
    while pending:
        new = before[pending.pop()] - found
        found |= new
        pending += new
    return found


def _flatten(value, name=""):
    """(dotted name, scalar) of every leaf; null is a value not given."""
    if isinstance(value, dict | list):
        items = sorted(value.items()) if isinstance(value, dict) else enumerate(value)
        return [leaf for key, part in items for leaf in _flatten(part, f"{name}.{key}" if name else str(key))]
    return [] if value is None else [(name, value)]


def _purl(name, version, kind="pypi"):
    return f"pkg:{kind}/{name.lower().replace('_', '-')}@{quote(version, safe='')}"


def _time(moment):
    return moment.isoformat(timespec="milliseconds")


def _digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def _unique(entities):
    return list({entity.id: entity for entity in entities}.values())


def _compact(entity):
    """RO-Crate's wish: one value stands alone, not in a list."""
    return {key: value[0] if isinstance(value, list) and len(value) == 1 else value for key, value in entity.items()}
