"""What the sections of the audit page read: each notes the files it shows, with their sha256, and who made them."""

import functools
import json
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa

from scalebound.artifacts import windows
from scalebound.artifacts.parquet import identity_of, read_parquet
from scalebound.artifacts.provenance import file_sha256, read_json
from scalebound.audit.page.values import size
from scalebound.errors import InputError

# what a damaged file can make its reader raise: the section then says so, and the rest of the page still stands
DAMAGE = (InputError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError, pa.ArrowException)


class Files:
    """The folder of results; `homes` tells which section shows a file first."""

    def __init__(self, results):
        self.root, self.homes = Path(os.path.abspath(results)), {}

    def name(self, path):
        """How a path is written on the page: as in every identity, whatever the folder of results is called now."""
        return f"results/{Path(path).as_posix()}"

    @functools.cache  # noqa: B019 (one object a page, and several sections show the same file)
    def sha256(self, path):
        return file_sha256(self.root / path)

    @functools.lru_cache(maxsize=8)  # noqa: B019 (the scores of a checkpoint are shown beside those of each quantizer)
    def table(self, path, stage):
        return read_parquet(self.root / path, stage)

    def configuration(self, family):
        """{"config", "checkpoints"} of a family, empty where its file cannot be read."""
        try:
            saved = read_json(self.root / family / "config.json", "resolved-config")
            return {"config": dict(saved["config"]), "checkpoints": list(saved["checkpoints"])}
        except DAMAGE:
            return {"config": {}, "checkpoints": []}

    def explain(self, error):
        """An exception in one line without the place of the results on this machine."""
        text = f"{error.where}: {error.found}" if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        return " ".join(text.replace(f"{self.root.parent.as_posix()}/", "").split())[:400]


class Section:
    """One section: what it is linked by, what it shows, or why it can show nothing."""

    def __init__(self, files, anchor):
        self._files, self.anchor = files, anchor
        self.shown, self.identities, self.content, self.problem = [], [], {}, None

    def json(self, path, stage):
        value = read_json(self._show(path), stage)
        self._made_by(path, value["identity"])
        return value

    def table(self, path, stage):
        """A parquet table and the identity in it."""
        self._show(path)
        table = self._files.table(path, stage)
        identity = identity_of(table, path)
        self._made_by(path, identity)
        return table, identity

    def windows(self, path):
        """Row ids, tokens and identity of a draw, its tokens checked against its digest."""
        rows, tokens, identity = windows.read(self._show(path))
        self._made_by(path, identity)
        return rows, tokens, identity

    def csv(self, path):
        """Every cell as the text that the file holds."""
        return pd.read_csv(self._show(path), dtype=str, keep_default_na=False)

    def file(self, path):
        """The path of a file that carries no identity."""
        return self._show(path)

    def exists(self, path):
        return (self._files.root / path).is_file()

    def vouched(self, files, folder):
        """The files of `folder` that an artifact vouches for with size and sha256: named here, but not read."""
        return self.listed(files, self._files.name(folder))

    def listed(self, files, place):
        """The same for files that do not lie under the results: `place` is a folder, or a commit of the hub."""
        named = [{"name": f"{place}/{file['name']}", "bytes": size(file["bytes"]), "sha256": file["sha256"]} for file in files]
        for file in named:
            self._files.homes.setdefault(file["name"], self.anchor)
        return named

    def configured(self, family):
        """The configuration of a family, for a remark; the section that shows the file says if it is damaged."""
        return self._files.configuration(family)

    def name(self, path):
        return self._files.name(path)

    def _show(self, path):
        if (name := self._files.name(path)) not in {shown["name"] for shown in self.shown}:
            self.shown.append({"name": name, "sha256": self._files.sha256(path)})
            self._files.homes.setdefault(name, self.anchor)
        return self._files.root / path

    def _made_by(self, path, identity):
        """The identity of a file is shown where the file is at home, and only there."""
        name = self._files.name(path)
        if self._files.homes[name] == self.anchor and name not in {made["name"] for made in self.identities}:
            self.identities.append({"name": name, **readable_identity(identity)})


def attempt(files, anchor, build, *arguments):
    """The section that `build(section, *arguments)` fills, or one that says why it could not be filled."""
    section = Section(files, anchor)
    try:
        section.content = build(section, *arguments)
    except DAMAGE as error:
        section.problem = files.explain(error)
    return section


def readable_identity(identity):
    """An identity as lines for the page; facts that a stage adds of its own are shown as JSON."""
    known = ("stage", "code", "scalebound", "python", "inputs", "settings", "packages")
    inputs = [{"role": role, "name": str(entry["path"]), "sha256": entry["sha256"]} for role, entry in identity["inputs"].items()]
    packages = [f"{name} {version}" for name, version in identity["packages"].items()]
    facts = {key: value for key, value in identity.items() if key not in known}
    return {
        "stage": identity["stage"],
        "code": identity["code"],
        "packages": [f"scalebound {identity['scalebound']}", f"Python {identity['python']}", *packages],
        "inputs": inputs,
        "facts": [(key.replace("_", " "), value if isinstance(value, str) else json.dumps(value)) for key, value in sorted(facts.items())],
        "settings": json.dumps(identity["settings"], sort_keys=True),
    }
