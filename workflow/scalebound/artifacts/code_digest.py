"""A digest of the code that makes a result, blind to comments, docstrings and formatting.

Snakemake does not notice when a module that `python -m scalebound` imports has changed. Each rule therefore carries
the digest of its stage's module closure in `params`, and each artifact carries it in its identity.
"""

import ast
import hashlib
from pathlib import Path

PACKAGE = "scalebound"
ROOT = Path(__file__).resolve().parents[1]


def stage_digest(stage, root=ROOT):
    """Hex sha256 over every module of the package that the command of `stage` imports, directly or not."""
    return module_digest(f"{PACKAGE}.commands.{stage.replace('-', '_')}", root)


def module_digest(module, root=ROOT):
    root = Path(root)
    digest = hashlib.sha256()
    for name in sorted(closure(module, root)):
        digest.update(f"{name}\0{_meaning(_source(name, root))}\0".encode())
    return digest.hexdigest()


def closure(module, root=ROOT):
    """Names of all modules of the package reachable from `module` through import statements, itself included.

    Imports inside functions count: they run too. A package's `__init__` belongs to each of its modules.
    """
    root, seen, todo = Path(root), set(), [module]
    while todo:
        name = todo.pop()
        if name in seen or _source(name, root) is None:
            continue
        seen.add(name)
        todo.extend(_parents(name))
        todo.extend(_imported(_source(name, root)))
    if module not in seen:
        raise ModuleNotFoundError(f"{module} has no source under {root}")
    return seen


def _source(name, root):
    parts = name.split(".")[1:]
    if name.split(".")[0] != PACKAGE:
        return None
    for path in (root.joinpath(*parts).with_suffix(".py") if parts else None, root.joinpath(*parts, "__init__.py")):
        if path is not None and path.is_file():
            return path
    return None


def _parents(name):
    parts = name.split(".")
    return [".".join(parts[:k]) for k in range(1, len(parts))]


def _imported(path):
    names = []
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise SyntaxError(f"{path}: relative imports hide the module closure; import from {PACKAGE} by name")
            names += [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def _meaning(path):
    tree = _parse(path)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0], node):
            node.body = body[1:]
    return _canonical(tree)


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


def _parse(path):
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
