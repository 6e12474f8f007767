"""Which names a piece of code looks up outside of itself, by Python's rules of scope, and what it imports.

Nothing is run: this reads syntax trees. Code that reaches other code by names which it does not write is refused
(`SyntaxError`), or taken for all that it could mean.
"""

import ast
import re
from dataclasses import dataclass

PACKAGE = "scalebound"

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# attributes that lead from an object to code to which no name leads
_HIDING = {"__subclasses__", "__globals__", "__builtins__", "f_globals"}
# calls that take the name of a module
_BY_NAME = ("importlib.import_module", "sys.modules.get")


@dataclass(frozen=True)
class Use:
    """One thing that code refers to.

    kind "name": `path` is a name of the module and the attributes that are looked up on it; "import": the same from the
    root of an import; "module": a module that is imported, whatever is taken from it; "folder": modules of a package, by
    names that are not written in the code; "self": all names of the module, as `globals()` gives them.
    """

    kind: str
    path: tuple = ()


def bound(nodes):
    """{name: targets} of what these nodes bind in their own scope.

    Targets are the dotted names that imports bind the name to, and None where anything else binds it. What functions,
    classes and comprehensions inside bind is theirs. Names that are declared `global` or `nonlocal` are left out.
    """
    names, others, todo = {}, set(), list(nodes)
    while todo:
        node = todo.pop()
        for name, target in _binds(node):
            names.setdefault(name, set()).add(target)
        if isinstance(node, ast.Global | ast.Nonlocal):
            others.update(node.names)
        todo.extend(_same_scope(node))
    return {name: targets for name, targets in names.items() if name not in others}


def uses(statement, names, where):
    """The set of `Use` of a statement at the top level of a module.

    names: what the module binds, as `bound` gives it; `where` names the module in errors.

    Raises:
        SyntaxError: code that hides which names it means.
    """
    reader = _Reader(names, where)
    reader.read(statement, None)
    return reader.found


def modules_of(node, where):
    """Dotted names of what an import statement may load; of `from a import b` both a and a.b."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if node.level:
        raise SyntaxError(f"{where}, line {node.lineno}: relative imports hide what is reached; import from {PACKAGE} by name")
    if any(alias.name == "*" for alias in node.names):
        raise SyntaxError(f"{where}, line {node.lineno}: star imports hide what names mean; import names one by one")
    return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]


def children(node):
    """Like `ast.iter_child_nodes`, in half the time, and without the context of names."""
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            yield from (part for part in value if isinstance(part, ast.AST))
        elif isinstance(value, ast.AST) and name != "ctx":
            yield value


def walk(node):
    """The node and all below it, in no order that counts."""
    todo = [node]
    while todo:
        node = todo.pop()
        yield node
        todo.extend(children(node))


def dotted(node):
    """The name and attributes of an expression like a.b.c as a tuple; None for any other."""
    attributes = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    return (node.id, *reversed(attributes)) if isinstance(node, ast.Name) else None


def _targets(node):
    """(name that it binds, dotted name that it binds it to) for each alias of an import statement."""
    if isinstance(node, ast.Import):
        return [(alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2 for alias in node.names]
    return [(alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names]


def _binds(node):
    """(name, target) of what the node itself binds; the target is None where it is no import."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return _targets(node)
    if isinstance(node, ast.Name):
        return [] if isinstance(node.ctx, ast.Load) else [(node.id, None)]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        return [(node.name, None)] if node.name else []
    return [(node.rest, None)] if isinstance(node, ast.MatchMapping) and node.rest else []


def _same_scope(node):
    """Children of a node that belong to its scope."""
    if isinstance(node, _FUNCTIONS):
        return [*getattr(node, "decorator_list", ()), node.args, *filter(None, [getattr(node, "returns", None)])]
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *node.keywords]
    if isinstance(node, _COMPREHENSIONS):
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        return parts + [part for generator in node.generators for part in (generator.iter, *generator.ifs)]
    return children(node)


class _Reader:
    """Walks a statement. `local` of its methods: {name: targets} of the functions around a node, None at the top level."""

    def __init__(self, names, where):
        self.names, self.where, self.found = names, where, set()

    def read(self, node, local):
        if isinstance(node, _FUNCTIONS):
            self._read_function(node, local)
        elif isinstance(node, ast.ClassDef):
            self._read_class(node, local)
        elif isinstance(node, _COMPREHENSIONS):
            self._read_comprehension(node, local)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self._read_import(node, local)
        elif isinstance(node, ast.Name | ast.Attribute):
            self._read_name(node, local)
        elif isinstance(node, ast.Call):
            self._read_call(node, local)
        elif isinstance(node, ast.AnnAssign):
            self._read_annotation(node.annotation, local)
            self._read_all([node.target, node.value], local)
        elif isinstance(node, ast.Constant):
            self._read_text(node.value)
        else:
            self._read_all(children(node), local)

    def _read_all(self, nodes, local):
        for node in nodes:
            if node is not None:
                self.read(node, local)

    def _read_function(self, node, local):
        arguments = node.args
        everyone = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *filter(None, [arguments.vararg, arguments.kwarg])]
        self._read_all([*getattr(node, "decorator_list", ()), *arguments.defaults, *arguments.kw_defaults], local)
        for annotation in [*(argument.annotation for argument in everyone), getattr(node, "returns", None)]:
            self._read_annotation(annotation, local)
        body = node.body if isinstance(node.body, list) else [node.body]
        self._read_all(body, (local or {}) | bound(body) | {argument.arg: {None} for argument in everyone})

    def _read_class(self, node, local):
        self._read_all([*node.decorator_list, *node.bases, *node.keywords], local)
        # what the body binds is looked up outside too: before that, and in methods
        own = bound(node.body)
        inside = (local or {}) | {name: {None} for name in own if name not in self.names}
        for part in node.body:
            self._read_attribute(part, inside)
        # what it imports is an attribute, which any expression can reach
        self._read_targets((), set().union(*own.values()))

    def _read_attribute(self, part, local):
        """A statement of a class; the name that it gives to an attribute is none of the module."""
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            self._read_annotation(part.annotation, local)
            self._read_all([part.value], local)
        elif isinstance(part, ast.Assign) and all(isinstance(target, ast.Name) for target in part.targets):
            self.read(part.value, local)
        else:
            self.read(part, local)

    def _read_comprehension(self, node, local):
        targets = [generator.target for generator in node.generators]
        self.read(node.generators[0].iter, local)
        self._read_all([*_same_scope(node), *targets], (local or {}) | bound(targets))

    def _read_import(self, node, local):
        self.found.update(Use("module", tuple(name.split("."))) for name in modules_of(node, self.where))
        if local is not None:
            # a name of the module, by `global`: all of it, since others look attributes up on it
            self._read_targets((), [target for name, target in _targets(node) if name not in local])

    def _read_targets(self, attributes, targets):
        self.found.update(Use("import", (*target.split("."), *attributes)) for target in targets if target is not None)

    def _read_name(self, node, local):
        path = dotted(node)
        if isinstance(node, ast.Attribute):
            for name in _HIDING.intersection(path or [node.attr]):
                self._refuse(node, name)
            if path is None:
                return self.read(node.value, local)
        if path[0] in (local or {}):
            return self._read_targets(path[1:], local[path[0]])
        if path[0] not in self.names and path[0] in ("eval", "exec", "__import__", "__builtins__"):
            self._refuse(node, path[0])
        whole = path[0] not in self.names and path[0] in ("globals", "locals", "vars")
        return self.found.add(Use("self") if whole else Use("name", path))

    def _read_call(self, node, local):
        path, known = dotted(node.func) or ("",), {**self.names, **(local or {})}
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        harmless = path == ("vars",) and path[0] not in known and given  # the attributes of an object
        origins = [".".join([target, *path[1:]]) for target in known.get(path[0], ()) if target is not None]
        if not harmless and set(origins).isdisjoint(_BY_NAME):
            self.read(node.func, local)
        elif not harmless:
            self._read_module_by_name(node)
        self._read_all(given, local)

    def _read_module_by_name(self, node):
        """A module by its name: a text, or one that begins with the name of a folder of the package or with `__name__`."""
        name = node.args[0] if node.args else None
        parts = name.values if isinstance(name, ast.JoinedStr) else [name]
        own = isinstance(parts[0], ast.FormattedValue) and dotted(parts[0].value) == ("__name__",)
        texts = [part.value for part in parts[own : own + 1] if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        start = (self.where if own else "") + "".join(texts)
        if isinstance(name, ast.Constant) and start:
            self.found.add(Use("import", tuple(start.split("."))))
        elif start.startswith(f"{PACKAGE}.") and start.endswith("."):
            self.found.add(Use("folder", tuple(start[:-1].split("."))))
        else:
            self._refuse(node, ast.unparse(node.func))

    def _read_annotation(self, node, local):
        """Texts in annotations may be names of the module."""
        if node is not None:
            self.read(node, local)
            texts = [part.value for part in walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]
            self.found.update(Use("name", (word,)) for text in texts for word in re.findall(r"\w+", text) if word in self.names)

    def _read_text(self, value):
        """The full name of a module, or of something in it, is a way to it."""
        if isinstance(value, str) and re.fullmatch(rf"{PACKAGE}(\.\w+)+", value):
            self.found.add(Use("import", tuple(value.split("."))))

    def _refuse(self, node, what):
        raise SyntaxError(f"{self.where}, line {node.lineno}: {what} hides which code is reached, and with it what has to run again; name it in the code")
