"""A digest of the code that makes a result: of the definitions that a stage can reach, blind to comments, docstrings and layout.

Snakemake does not notice when what `python -m scalebound` imports has changed. Each rule therefore carries the digest of its
stage in `params`, and each artifact carries it in its identity.

What is reached: all of the command's module; every definition of the package that something reached names; and what runs when a
module is imported at all: statements that are neither definitions, assignments nor imports, assignments that call functions of
the package, definitions with decorators of the package. Where it cannot be told what is meant, all of it counts: a module that is
handed on as a value or looked into by getattr counts as a whole, and so does every module of a package of which one is imported
by a computed name, unless the caller says which (`chosen`). Relative and star imports, which hide what is meant, are refused.
"""

import ast
import functools
import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = "scalebound"
ROOT = Path(__file__).resolve().parents[1]
# what a command says for `scalebound --help` alone
LISTING = {"GROUP", "NETWORK", "EXAMPLE"}
RUNNER = f"{PACKAGE}.commands.stage"
_LOOKS_AROUND = {"globals", "vars", "eval", "exec", "locals", "__import__"}


def stage_digest(stage, chosen=None, root=ROOT):
    """Hex sha256 over all code that the command of `stage` can reach; `chosen` is what a computed name of a module is."""
    digest = hashlib.sha256()
    for module, name, text in sorted(reached(f"{PACKAGE}.commands.{stage.replace('-', '_')}", chosen, root)):
        digest.update(f"{module}\0{name}\0{text}\0".encode())
    return digest.hexdigest()


def reached(module, chosen=None, root=ROOT):
    """{(module, definition, its meaning as text)} that a command's module can reach."""
    reach = _Reach(Path(root), chosen)
    if (start := reach.load(module)) is None:
        raise ModuleNotFoundError(f"{module} has no source under {root}")
    reach.whole(module, LISTING)
    if "compute" in start.bound:
        reach.name(RUNNER, "run")
    return reach.follow()


def closure(module, root=ROOT):
    """Names of all modules of the package that importing and running `module` can import, itself included."""
    root, seen, todo = Path(root), set(), [module]
    while todo:
        name = todo.pop()
        if name in seen or (found := _module(root, name)) is None:
            continue
        seen.add(name)
        todo += [*_parents(name), *found.everything]
    if module not in seen:
        raise ModuleNotFoundError(f"{module} has no source under {root}")
    return seen


@dataclass
class _Module:
    """bound: {name: its statements}; imports: {name: (module, definition or None)}; always: statements that run on import.

    tops: modules that importing it imports. everything: those imported inside functions too.
    """

    bound: dict = field(default_factory=lambda: defaultdict(list))
    imports: dict = field(default_factory=lambda: defaultdict(list))
    always: list = field(default_factory=list)
    tops: list = field(default_factory=list)
    everything: list = field(default_factory=list)


class _Reach:
    """The definitions that have been reached, and those whose own names are still to be followed."""

    def __init__(self, root, chosen):
        self.root, self.chosen = root, chosen
        self.loaded, self.names, self.found, self.todo = {}, set(), set(), []

    def follow(self):
        while self.todo:
            module, label, node = self.todo.pop()
            self.found.add((module, label, _meaning(node)))
            self.use(module, _uses(node))
        return self.found

    def load(self, module):
        """The module and what importing it imports: whatever runs then is reached."""
        if module in self.loaded:
            return self.loaded[module]
        self.loaded[module] = found = _module(self.root, module)
        if found is not None:
            for parent in _parents(module):
                self.load(parent)
            self.todo += [(module, f"statement {k}", node) for k, node in enumerate(found.always)]
            for name in found.tops:
                self.load(name)
        return found

    def whole(self, module, but=()):
        found = self.load(module)
        for name in found.bound if found else ():
            if name not in but:
                self.name(module, name)

    def name(self, module, name):
        """A name of a module: its definitions, or what it was imported as."""
        if (module, name) in self.names or (found := self.load(module)) is None:
            return
        self.names.add((module, name))
        self.todo += [(module, name, node) for node in found.bound.get(name, ())]
        for target in found.imports.get(name, ()):
            self.imported(module, name, *target)
        if name not in found.bound and name not in found.imports and _module(self.root, f"{module}.{name}"):
            self.whole(f"{module}.{name}")

    def imported(self, module, name, source, definition):
        """What an import binds: a definition of the package, a module of it as a value, or something of a library."""
        if source.split(".")[0] != PACKAGE:
            self.found.add((module, f"import {name}", f"{source} {definition}"))
        elif definition is None or _module(self.root, f"{source}.{definition}"):
            self.whole(source if definition is None else f"{source}.{definition}")
        else:
            self.name(source, definition)

    def use(self, module, uses):
        found = self.loaded[module]
        for name in uses.loads:
            self.load(name)
        for prefix, last in uses.computed:
            for path in sorted(self.root.joinpath(*prefix.split(".")[1:]).glob("*.py")):
                if path.stem != "__init__" and (self.chosen is None or not last or path.stem == self.chosen):
                    self.whole(f"{prefix}.{path.stem}")
        if uses.looks_around:
            self.whole(module)
        for chain in uses.chains:
            targets = [*uses.imports.get(chain[0], ()), *found.imports.get(chain[0], ())]
            if chain[0] in found.bound:
                self.name(module, chain[0])
            for target in targets:
                self.chain(module, chain, *target)

    def chain(self, module, chain, source, definition):
        """`a.b.c` where `a` is an import: as far as modules go, then one definition of the last."""
        base = source if definition is None else f"{source}.{definition}"
        if source.split(".")[0] != PACKAGE or (definition is not None and _module(self.root, base) is None):
            self.imported(module, chain[0], source, definition)
            return
        rest = list(chain[1:])
        while rest and _module(self.root, f"{base}.{rest[0]}"):
            base = f"{base}.{rest.pop(0)}"
        self.load(base)
        if rest:
            self.name(base, rest[0])
        else:
            self.whole(base)


@dataclass
class _Uses:
    """What a statement names: attribute chains, imports inside it, packages of which it imports a module by a computed name."""

    chains: set = field(default_factory=set)
    imports: dict = field(default_factory=lambda: defaultdict(list))
    loads: list = field(default_factory=list)
    computed: list = field(default_factory=list)
    looks_around: bool = False


def _module(root, name):
    path = _source(root, name)
    return None if path is None else _parsed(path, path.stat().st_mtime_ns, path.stat().st_size)


@functools.lru_cache(maxsize=4096)
def _source(root, name):
    parts = name.split(".")
    if parts[0] != PACKAGE or not all(part.isidentifier() for part in parts):
        return None
    place = root.joinpath(*parts[1:])
    candidates = (place.with_suffix(".py") if parts[1:] else None, place / "__init__.py")
    return next((path for path in candidates if path is not None and path.is_file()), None)


@functools.lru_cache(maxsize=4096)
def _parsed(path, _mtime, _size):
    """The _Module of a file; a file that changes is another entry."""
    found, tree = _Module(), ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found.everything += [name for _, source, definition in _bindings(node, path) for name in _candidates(source, definition)]
    local = {name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) for name in [node.name]}
    ours = {name for node in tree.body if isinstance(node, ast.ImportFrom) for name, source, _ in _bindings(node, path) if source.split(".")[0] == PACKAGE}
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for name, source, definition in _bindings(node, path):
                found.imports[name].append((source, definition))
                found.tops += _candidates(source, definition)
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        names = _bound_names(node)
        for name in names:
            found.bound[name].append(node)
        if not names or _runs_our_code(node, local | ours):
            found.always.append(node)
    return found


def _bindings(node, path):
    """(name, module, definition or None) that an import statement binds."""
    if isinstance(node, ast.Import):
        return [(alias.asname or alias.name.split(".")[0], alias.name if alias.asname else alias.name.split(".")[0], None) for alias in node.names] + [
            ("", alias.name, None) for alias in node.names
        ]
    if node.level or any(alias.name == "*" for alias in node.names):
        raise SyntaxError(f"{path}: relative imports and stars hide what is imported; import from {PACKAGE} by name")
    return [(alias.asname or alias.name, node.module, alias.name) for alias in node.names]


def _candidates(source, definition):
    return [source] if definition is None else [source, f"{source}.{definition}"]


def _bound_names(node):
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, (ast.AnnAssign, ast.AugAssign)) else []
    names = [inner.id for target in targets for inner in ast.walk(target) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)]
    # `x[0] = 1` and `x.y = 1` change something that is bound elsewhere
    return names if all(isinstance(t, (ast.Name, ast.Tuple, ast.List)) for t in targets) else []


def _runs_our_code(node, functions):
    """Whether a definition calls a function of the package when its module is imported: a registry could be filled by it."""
    parts = node.decorator_list if hasattr(node, "decorator_list") else [node.value] if getattr(node, "value", None) is not None else []
    calls = [inner.func if isinstance(inner, ast.Call) else inner for part in parts for inner in ast.walk(part) if isinstance(inner, ast.Call)]
    calls += [part for part in parts if hasattr(node, "decorator_list")]
    names = {inner.id for call in calls for inner in ast.walk(call) if isinstance(inner, ast.Name)}
    return any(name in functions and not name.lstrip("_")[:1].isupper() for name in names)


@functools.lru_cache(maxsize=65536)
def _uses(node):
    uses = _Uses()
    inside = {id(inner.value) for inner in ast.walk(node) if isinstance(inner, ast.Attribute)}
    for inner in ast.walk(node):
        if isinstance(inner, (ast.Import, ast.ImportFrom)):
            for name, source, definition in _bindings(inner, "a function"):
                uses.imports[name].append((source, definition))
                uses.loads += _candidates(source, definition)
        elif isinstance(inner, (ast.Attribute, ast.Name)) and id(inner) not in inside:
            chain = _chain(inner)
            if chain:
                uses.chains.add(chain)
        if isinstance(inner, ast.Name) and inner.id in _LOOKS_AROUND:
            uses.looks_around = True
        if isinstance(inner, ast.Call) and _chain(inner.func) in (("importlib", "import_module"), ("import_module",)):
            uses.computed.append(_computed(inner))
    uses.computed = [found for found in uses.computed if found]
    return uses


def _chain(node):
    """("a", "b", "c") of `a.b.c`; None where it does not begin with a name, whose parts are looked at by themselves."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else None


def _computed(call):
    """(package, whether its last part alone is computed) of which a module is imported by a computed name."""
    text = call.args[0] if call.args else None
    if isinstance(text, ast.Constant):
        raise SyntaxError(f"import_module({text.value!r}): import it by name")
    first = text.values[0].value if isinstance(text, ast.JoinedStr) and isinstance(text.values[0], ast.Constant) else ""
    if first and not first.startswith(f"{PACKAGE}."):
        return None
    prefix = first.rpartition(".")[0] if first.endswith(".") else PACKAGE
    return prefix, first.endswith(".")


def _parents(name):
    parts = name.split(".")
    return [".".join(parts[:k]) for k in range(1, len(parts))]


@functools.lru_cache(maxsize=65536)
def _meaning(node):
    """The statement as text without docstrings."""
    for inner in ast.walk(node):
        body = getattr(inner, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0], inner):
            inner.body = body[1:]
    return _canonical(node)


def _canonical(node):
    """Like `ast.dump`, but leaves out what is empty, so that Python versions with new optional fields agree."""
    if isinstance(node, ast.AST):
        fields = [(name, _canonical(value)) for name, value in ast.iter_fields(node)]
        return f"{type(node).__name__}({','.join(f'{name}={text}' for name, text in fields if text)})"
    if isinstance(node, list):
        return "[" + ",".join(map(_canonical, node)) + "]" if node else ""
    return "" if node is None else repr(node)


def _is_docstring(statement, owner):
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    if not isinstance(owner, owners) or not isinstance(statement, ast.Expr):
        return False
    return isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)
