"""A digest of the code that makes a result: of every definition that a stage can reach, blind to comments, docstrings and layout.

Snakemake does not notice when what `python -m scalebound` imports has changed. Each rule therefore carries the digest of its
stage in `params`, and each artifact carries it in its identity.

A stage reaches all of its command's module; from there the digest follows names, as Python looks them up: functions, classes
as a whole, assignments, names that are imported from elsewhere. Of a module that is imported, what importing it does counts in
any case (`code_effects`), and all of it where it is passed on as a value. What cannot be followed counts as reached, or is
refused with a SyntaxError (`code_names`).
"""

import functools
import hashlib
from pathlib import Path

from scalebound.artifacts.code_effects import has_effects
from scalebound.artifacts.code_names import PACKAGE
from scalebound.artifacts.code_package import Node, Package

ROOT = Path(__file__).resolve().parents[1]
# what a command says for `scalebound --help` alone
LISTING = {"GROUP", "NETWORK", "EXAMPLE"}
# who calls the command, where that is a function of files and settings
RUNNER = (f"{PACKAGE}.commands.stage", ("run",))

# what gives code by names that are not written down
_HIDING = ("builtins.__import__", "builtins.eval", "builtins.exec", "builtins.globals", "gc", "importlib", "pkgutil", "runpy", "sys.modules")
_OPEN = ("importlib.metadata", "importlib.resources", "pkgutil.iter_modules")


def stage_digest(stage, chosen=None, root=ROOT):
    """Hex sha256 over every definition that the command of `stage` can reach.

    `chosen`: where the stage imports a module of a folder by a name that is made while it runs, that name; without it, all
    modules of the folder count.

    Raises:
        ModuleNotFoundError: no such stage.
        SyntaxError: code on the way that hides what it reaches.
    """
    digest = hashlib.sha256()
    for name, text in reached(stage, chosen, root):
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()


def reached(stage, chosen=None, root=ROOT):
    """[(module.name, meaning as text)] of all that `stage_digest` counts, in a fixed order."""
    graph, module = _graph(Path(root)), f"{PACKAGE}.commands.{stage.replace('-', '_')}"
    return [part for node in graph.reached(module, chosen) for part in graph.meaning(node)]


def closure(module, root=ROOT):
    """Names of all modules of the package that importing and running `module` can import, itself included."""
    package, seen, todo = Package(root), set(), [module]
    while todo:
        name = todo.pop()
        if name not in seen and package.module(name) is not None:
            seen.add(name)
            todo += [name.rpartition(".")[0], *package.module(name).imports_anywhere]
    if module not in seen:
        raise ModuleNotFoundError(f"{module} has no source under {root}")
    return seen


def _graph(root):
    """Of the code that runs there is one for the life of the process: it is what was imported. Elsewhere files may change."""
    return _running() if root == ROOT else _as_it_is(root, tuple((path, path.read_bytes()) for path in sorted(root.rglob("*.py"))))


@functools.cache
def _running():
    return _Graph(Package(ROOT))


@functools.lru_cache(maxsize=1)
def _as_it_is(root, _sources):
    return _Graph(Package(root))


class _Graph:
    """The parts of a package, and to which others each leads."""

    def __init__(self, package):
        self.package, self._edges = package, {}

    def reached(self, command, chosen):
        """All Nodes that a command's module leads to, sorted: by module, then as they stand in it."""
        todo, seen = self._roots(command), set()
        while todo:
            node = todo.pop()
            if node not in seen:
                seen.add(node)
                todo.extend(self._in_folder(node.module, chosen) if node.kind == "folder" else self._from(node))
        return sorted(seen, key=lambda node: (node.module, node.kind, node.key))

    def meaning(self, node):
        """[(name, text)] of what a Node adds to the digest."""
        module = self.package.module(node.module)
        if node.kind == "statement":
            return [(f"{node.module}.{', '.join(module.names_of(node.key)) or '(on import)'}", module.text(node.key))]
        if node.kind == "alias":
            return [(f"{node.module}.{node.key}", f"import {sorted(module.aliases[node.key])}")]
        return [(f"{node.module}.(imports)", str(module.foreign))] if node.kind == "module" and module.foreign else []

    def _roots(self, command):
        module = self.package.module(command)
        if module is None:
            raise ModuleNotFoundError(f"{command} has no source under {self.package.root}")
        listed = [Node("statement", command, k) for k in range(len(module.statements)) if set(module.names_of(k)) - LISTING or not module.names_of(k)]
        return [Node("module", command), *listed, *(self.package.meaning(*RUNNER) if "compute" in module.definitions else [])]

    def _in_folder(self, folder, chosen):
        modules = self.package.modules_in(folder)
        return [Node("contents", name) for name in ([f"{folder}.{chosen}"] if f"{folder}.{chosen}" in modules else modules)]

    def _from(self, node):
        if node not in self._edges:
            self._edges[node] = {found for found in getattr(self, f"_from_{node.kind}")(node) if self._is_own(found, node)}
        return self._edges[node]

    def _from_module(self, node):
        module = self.package.module(node.module)
        above = [Node("module", node.module.rpartition(".")[0])] if "." in node.module else []
        running = [k for k, statement in enumerate(module.statements) if has_effects(self.package, node.module, statement)]
        # calm assignments may import by name
        named = [".".join(use.path) for k in module.assignments for use in module.uses(k) if use.kind in ("folder", "import")]
        loaded = [*module.imports, *named, *(name for folder in named for name in self.package.modules_in(folder))]
        return [*above, *(Node("statement", node.module, k) for k in running), *self._loaded(loaded)]

    def _from_alias(self, node):
        return [Node("module", node.module)]

    def _from_everything(self, node):
        return [*self._from_contents(node), *(found for target in self._own_targets(node) for found in self.package.origin(target))]

    def _from_contents(self, node):
        module = self.package.module(node.module)
        own = [Node("statement", node.module, k) for k in range(len(module.statements))] + [Node("alias", node.module, name) for name in module.aliases]
        passed_on = [found for target in self._own_targets(node) for found in self.package.origin(target) if found.kind != "everything"]
        return [Node("module", node.module), *own, *passed_on]

    def _own_targets(self, node):
        targets = set().union(*self.package.module(node.module).aliases.values())
        return [target.split(".") for target in targets if target.split(".")[0] == PACKAGE]

    def _from_statement(self, node):
        found = [Node("module", node.module)]
        for use in self.package.module(node.module).uses(node.key):
            if use.kind == "name":
                found += self.package.meaning(node.module, use.path)
            elif use.kind == "import":
                found += self.package.origin(use.path)
            elif use.kind == "module":
                found += self._loaded([".".join(use.path)])
            else:
                found.append(Node("folder", ".".join(use.path)) if use.kind == "folder" else Node("everything", node.module))
        return found

    def _loaded(self, names):
        """Of `from a import b`, a.b may be no module."""
        return [Node("module", name) for name in names if self.package.module(name) is not None]

    def _is_own(self, found, node):
        if not isinstance(found, Node) and _is_under(found.name, _HIDING) and not _is_under(found.name, _OPEN):
            raise SyntaxError(f"{node.module}: {found.name} hides which code is reached, and with it what has to run again; name it in the code")
        return isinstance(found, Node)


def _is_under(name, roots):
    return any(name == root or name.startswith(f"{root}.") for root in roots)
