"""Which statements of a module do more, when it is imported, than bind the names that they show.

A module-level call may register, patch or configure; whoever imports the module has that, whether or not it uses a name of
the statement. So every call counts as such an effect, unless it is known or seen to have none: `_CALM` is known, and the
package's own functions and classes are read. Operators, attributes, subscripts and conversions are taken to have none.
"""

import ast
import builtins

from scalebound.artifacts.code_names import dotted, walk
from scalebound.artifacts.code_package import Node

_CALM = {
    *("abs", "all", "any", "bool", "bytes", "dict", "dict.fromkeys", "enumerate", "float", "frozenset", "getattr", "hasattr", "int", "isinstance"),
    *("len", "list", "max", "min", "object", "range", "repr", "reversed", "round", "set", "slice", "sorted", "str", "sum", "tuple", "type", "zip"),
    *("classmethod", "property", "staticmethod", "contextlib.contextmanager", "dataclasses.dataclass", "dataclasses.field"),
    *("functools.cache", "functools.cached_property", "functools.lru_cache", "math.log", "math.sqrt", "pathlib.Path", "re.compile", "struct.Struct"),
    *(
        "argparse.Action",
        "collections.abc.Mapping",
        "io.RawIOBase",
        "numba.njit",  # compiles when it is called
        "typing.Protocol",
        "typing.get_args",
        "typing.runtime_checkable",
        "numpy.array",
        "numpy.ones",
        "numpy.uint64",
        "torch.inference_mode",
        "torch.no_grad",
    ),
    *("importlib.import_module", "pkgutil.iter_modules"),  # what the modules do counts by itself
    *("pydantic.AfterValidator", "pydantic.BaseModel", "pydantic.ConfigDict", "pydantic.Field", "pydantic.model_validator"),
}
_CALM |= {name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)}
# methods of Python's own types that only look; those of the package have other names
_VIEWS = ("bit_length", "count", "fullmatch", "items", "keys", "values")
# decorators under which a method waits to be called
_WAITING = {"property", "classmethod", "staticmethod", "functools.cached_property"}


def has_effects(package, module, statement):
    """Whether the statement, one of those at the top level of the module (a name), may have effects beyond its names."""
    return not _Judge(package, module).calm(statement)


class _Judge:
    """Whether code of one module is calm: without effects. `local`: names of the function that it is in; `above`: what is being judged."""

    def __init__(self, package, module, local=frozenset(), above=frozenset()):
        self.package, self.module, self.local, self.above = package, module, local, above

    def calm(self, statement):
        """A statement of a module or of a class."""
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            return self._calm_signature(statement)
        if isinstance(statement, ast.ClassDef):
            return self._calm_class(statement)
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            return all(map(_only_names, targets)) and self._calm_within(statement)
        # modules count when they are imported, by whatever statement
        return isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass) or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))

    def _calm_signature(self, function):
        arguments = function.args
        everyone = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *filter(None, [arguments.vararg, arguments.kwarg])]
        evaluated = [*arguments.defaults, *arguments.kw_defaults, function.returns, *(argument.annotation for argument in everyone)]
        return all(map(self._calm_decorator, function.decorator_list)) and all(self._calm_within(node) for node in evaluated if node is not None)

    def _calm_decorator(self, node):
        return self._calm_within(node) if isinstance(node, ast.Call) else self._calm_callee(node)

    def _calm_class(self, statement):
        """Making the class, not yet objects of it."""
        return (
            not statement.keywords
            and all(map(self._calm_decorator, statement.decorator_list))
            and all(map(self._calm_base, statement.bases))
            and all(map(self.calm, statement.body))
        )

    def _calm_base(self, node):
        def unhooked(base, judge):
            hooks = [part for part in base.body if isinstance(part, ast.FunctionDef) and part.name == "__init_subclass__"]
            return not hooks and not base.keywords and all(map(judge._calm_base, base.bases))

        return self._all_of(node, lambda found, judge: isinstance(found, ast.ClassDef) and unhooked(found, judge))

    def _calm_within(self, node):
        parts = list(walk(node))
        return not any(isinstance(part, ast.NamedExpr) for part in parts) and all(self._calm_call(part) for part in parts if isinstance(part, ast.Call))

    def _calm_call(self, call):
        function, path = call.func, dotted(call.func)
        # a function that is called at once, or a class that is made
        if any(keyword.arg == "key" for keyword in call.keywords) or (path == ("type",) and len(call.args) != 1):
            return False
        if isinstance(function, ast.Attribute) and (function.attr in _VIEWS or isinstance(function.value, ast.Constant | ast.JoinedStr)):
            return True
        if path is None and isinstance(function, ast.Attribute) and isinstance(function.value, ast.Call):
            # a method of what is known to be made outside of the package
            return self._all_of(function.value.func, lambda found, judge: False)
        return self._calm_callee(function)

    def _calm_callee(self, node):
        def calm(found, judge):
            return judge._calm_function(found) if isinstance(found, ast.FunctionDef) else isinstance(found, ast.ClassDef) and judge._calm_objects(found)

        return self._all_of(node, calm)

    def _all_of(self, node, calm):
        """Whether everything that an expression means is known to be calm, or, of the package, `calm(statement, judge of its module)`."""
        path = dotted(node)
        if path is None or path[0] in self.local:
            return False
        for found in self.package.meaning(self.module, path):
            if not isinstance(found, Node):
                if found.name not in _CALM:
                    return False
            elif found.kind not in ("alias", "module"):
                statement = self._statement(found)
                key = (found.module, found.key)
                # an attribute of something else may be anything
                if getattr(statement, "name", None) != path[-1]:
                    return False
                if key not in self.above and not calm(statement, _Judge(self.package, found.module, above=self.above | {key})):
                    return False
        return True

    def _statement(self, node):
        return self.package.module(node.module).statements[node.key] if node.kind == "statement" else None

    def _calm_function(self, function):
        """Calling it: it changes nothing that it has not made, and calls nothing that was handed to it."""
        parts = [part for statement in function.body for part in walk(statement)]
        changes = (ast.Global, ast.Nonlocal, ast.Import, ast.ImportFrom, ast.With, ast.AsyncWith, ast.AugAssign, ast.Delete)
        if any(isinstance(part, changes) or not isinstance(getattr(part, "ctx", None), ast.Load | ast.Store | None) for part in parts):
            return False
        if any(isinstance(part, ast.Attribute | ast.Subscript) and isinstance(part.ctx, ast.Store) for part in parts):
            return False
        local = {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
        local |= {part.arg for part in walk(function.args) if isinstance(part, ast.arg)}
        inside = _Judge(self.package, self.module, frozenset(local), self.above)
        return self._calm_signature(function) and all(inside._calm_call(part) for part in parts if isinstance(part, ast.Call))

    def _calm_objects(self, statement):
        """Making objects of a class of the package."""
        methods = [part for part in statement.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)]
        run = [method for method in methods if method.name.startswith("__") or not self._waits(method)]
        factories = [part.value for part in walk(statement) if isinstance(part, ast.keyword) and part.arg == "default_factory"]
        bases = [
            base for base in statement.bases if not self._all_of(base, lambda found, judge: isinstance(found, ast.ClassDef) and judge._calm_objects(found))
        ]
        return not bases and all(map(self._calm_callee, factories)) and all(map(self._calm_function, run))

    def _waits(self, method):
        names = [found.name for node in method.decorator_list for found in self._outside(node)]
        return len(names) == len(method.decorator_list) and set(names) <= _WAITING

    def _outside(self, node):
        path = dotted(node)
        return [found for found in self.package.meaning(self.module, path) if not isinstance(found, Node)] if path else []


def _only_names(target):
    parts = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
    return all(isinstance(part, ast.Name) for part in parts)
