"""The modules of the package as definitions: what each binds, and what a name in one of them means."""

import ast
import builtins
import functools
import sys
from dataclasses import dataclass
from pathlib import Path

from scalebound.artifacts.code_names import PACKAGE, bound, modules_of, uses, walk


@dataclass(frozen=True)
class Node:
    """A part of the package.

    kind "statement": the `key`-th of a module; "alias": the name `key` that an import of the module binds; "module": what
    importing it does; "contents": all that it defines or hands on; "everything": also all of the modules that it imports;
    "folder": the contents of all modules below it.
    """

    kind: str
    module: str
    key: int | str = ""


@dataclass(frozen=True)
class Outside:
    """What is not the package's own: the dotted name of something of another package, or of Python's own."""

    name: str


class Module:
    """One parsed file, without docstrings.

    statements: at the top level, in order. definitions: {name: numbers of the statements that bind it}, imports not
    counted; assignments: numbers of those that assign. aliases: {name: dotted names that imports bind it to}. imports: modules
    of the package that importing this one loads. foreign: the other modules that it loads and that are not Python's own; these may change anything.
    """

    def __init__(self, name, source):
        tree = ast.parse(source, filename=name)
        _strip_docstrings(tree)
        self.name, self.statements = name, tree.body
        self.definitions, self.aliases = {}, {}
        for number, statement in enumerate(self.statements):
            for key, targets in _bound_by(statement):
                if None in targets:
                    self.definitions.setdefault(key, set()).add(number)
                if targets != {None}:
                    self.aliases.setdefault(key, set()).update(targets - {None})
        self.names = {name: {None} for name in self.definitions} | self.aliases
        loaded = [module for statement in self.statements if isinstance(statement, ast.Import | ast.ImportFrom) for module in modules_of(statement, name)]
        self.imports = sorted({module for module in loaded if module.split(".")[0] == PACKAGE})
        self.assignments = [number for number, statement in enumerate(self.statements) if isinstance(statement, ast.Assign | ast.AnnAssign)]
        self._tree = tree
        self.foreign = sorted({module for module in loaded if module.split(".")[0] not in {PACKAGE, *sys.stdlib_module_names}})

    @functools.cache  # noqa: B019 (modules are kept as long as the process lives)
    def uses(self, number):
        return uses(self.statements[number], self.names, self.name)

    @functools.cache  # noqa: B019
    def text(self, number):
        return _canonical(self.statements[number])

    def names_of(self, number):
        """What a statement binds, imports not counted."""
        return [name for name, numbers in self.definitions.items() if number in numbers]

    @functools.cached_property
    def imports_anywhere(self):
        """Names of what import statements anywhere in it may load."""
        return [name for node in walk(self._tree) if isinstance(node, ast.Import | ast.ImportFrom) for name in modules_of(node, self.name)]


class Package:
    """All modules under a folder, each read when it is first asked for; edits that follow need another Package."""

    def __init__(self, root):
        self.root, self._modules = Path(root), {}

    def module(self, name):
        """The Module of a dotted name, or None when the package has none. A folder without `__init__.py` is an empty one."""
        if name not in self._modules:
            package, *parts = name.split(".")
            folder = self.root.joinpath(*parts)
            sources = [*([folder.with_suffix(".py")] if parts else []), folder / "__init__.py"] if package == PACKAGE else []
            source = next((path.read_bytes() for path in sources if path.is_file()), b"" if sources and folder.is_dir() else None)
            self._modules[name] = None if source is None else _parsed(name, source)
        return self._modules[name]

    def modules_in(self, folder):
        """Names of all modules below a package."""
        base = self.root.joinpath(*folder.split(".")[1:])
        return sorted(".".join([folder, *path.relative_to(base).with_suffix("").parts]) for path in base.rglob("*.py") if path.stem != "__init__")

    def meaning(self, module, path, seen=frozenset()):
        """What a name of a module, with the attributes that follow it in `path`, means: Nodes, and Outside for the rest.

        A path that ends at a module gives all of it: a module that is passed on can be asked for anything.
        """
        module, (name, *rest) = self.module(module), path
        if (module.name, name) in seen:
            return []
        seen = seen | {(module.name, name)}
        if name not in module.names:
            known = hasattr(builtins, name) or name in ("__file__", "__path__")
            return [Outside(".".join(path)) if known else Node("everything", module.name)]
        found = [Node("statement", module.name, number) for number in module.definitions.get(name, ())]
        for target in module.aliases.get(name, ()):
            found += [Node("alias", module.name, name), *self.origin([*target.split("."), *rest], seen)]
        return found

    def origin(self, path, seen=frozenset()):
        """The same of a path that begins at the root of an import."""
        name, *rest = path
        if name != PACKAGE:
            return [Outside(".".join(path))]
        found = []
        while rest:
            found.append(Node("module", name))
            defined, below = rest[0] in self.module(name).names, f"{name}.{rest[0]}"
            found += self.meaning(name, rest, seen) if defined else []
            if self.module(below) is None:
                return found if defined else [*found, Node("everything", name)]
            name, rest = below, rest[1:]
        return [*found, Node("everything", name)]


@functools.lru_cache(maxsize=1024)
def _parsed(name, source):
    """A process parses a file once, and again when it has changed."""
    return Module(name, source)


def _bound_by(statement):
    """(name, targets) of what a statement binds in its module, also by functions in it that declare a name `global`."""
    declared = [node.names for node in walk(statement) if isinstance(node, ast.Global)]
    return [*bound([statement]).items(), *((name, {None}) for names in declared for name in names)]


def _canonical(node):
    """Like `ast.dump`, but leaves out what is empty, so that Python versions with new optional fields agree."""
    parts = []
    _write(node, parts.append)
    return "".join(parts)


def _write(node, add):
    if isinstance(node, ast.AST):
        add(f"{type(node).__name__}(")
        for name in node._fields:
            value = getattr(node, name, None)
            if value is not None and value != []:
                add(f"{name}=")
                _write(value, add)
        add(")")
    elif isinstance(node, list):
        add("[")
        for part in node:
            _write(part, add)
        add("]")
    else:
        add(f"{node!r},")


def _strip_docstrings(node):
    """Out of a module, and of the functions and classes in it."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        parts = getattr(node, name, None)
        if isinstance(parts, list):
            if name == "body" and _is_docstring(node):
                parts = node.body = parts[1:]
            for part in parts:
                _strip_docstrings(part)


def _is_docstring(owner):
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    first = owner.body[0] if isinstance(owner, owners) and owner.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
