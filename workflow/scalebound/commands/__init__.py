"""The commands: one module each, which says in its docstring what it does, and in GROUP and NETWORK how it is listed.

GROUP is the part of the work that it belongs to; NETWORK, where it is true, that it may connect. EXAMPLE holds the words of one
call where they do not follow from its options.
"""

import ast
import functools
import pkgutil
import re
from dataclasses import dataclass
from pathlib import Path

GROUPS = ("streams and training", "checkpoints", "codes", "bounds and certificates", "studies", "reading results", "the project itself")


@dataclass(frozen=True)
class Description:
    """What a command says of itself, read without running it: `scalebound --help` must not pay for torch."""

    what: str
    group: str
    network: bool


@functools.cache
def described(command):
    """The Description of a command, or None where there is none of the name."""
    path = Path(__path__[0]) / f"{command.replace('-', '_')}.py"
    if not re.fullmatch("[a-z-]+", command) or not path.is_file():
        return None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)}
    said = {name: ast.literal_eval(named[name]) for name in ("GROUP", "NETWORK") if name in named}
    if "GROUP" not in said:
        return None
    return Description(ast.get_docstring(tree).splitlines()[0], said["GROUP"], said.get("NETWORK", False))


def commands():
    """{command: Description}, by group and then by name."""
    names = [module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)]
    known = {name: found for name in names if (found := described(name))}
    return dict(sorted(known.items(), key=lambda item: (GROUPS.index(item[1].group), item[0])))
