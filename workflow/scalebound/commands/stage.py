"""What stages have in common whose outputs follow from files and settings alone, so that the audit can compute them again.

Such a command module says INPUTS, {option: what it is}, Many where there can be any number; OUTPUTS, likewise; SETTINGS, the
model of --settings, or None; PACKAGES whose versions count; and

    compute(inputs, settings) -> {output: content}

with paths by option and the validated settings. The content of a table is its text, whose identity goes into a file beside it;
that of a JSON artifact is a dict, which gets its identity. `said(made)`, if there is one, returns the line to print.
"""

from dataclasses import dataclass

from scalebound.artifacts import atomic
from scalebound.artifacts.parquet import write_text_table
from scalebound.artifacts.provenance import identity
from scalebound.commands.arguments import Paths, add_settings, read_settings


@dataclass(frozen=True)
class Many:
    """Any number of files: paths, or one word with braces that stands for several."""

    what: str


def add_arguments(parser, module):
    if module.SETTINGS is not None:
        add_settings(parser, module.SETTINGS)
    for name, what in module.INPUTS.items():
        if isinstance(what, Many):
            parser.add_argument(_option(name), nargs="*", default=[], action=Paths, help=what.what)
        else:
            parser.add_argument(_option(name), required=True, help=what)
    for name, what in module.OUTPUTS.items():
        parser.add_argument(_option(name), required=True, help=what)


def run(stage, module, arguments):
    """Compute, write, and return the outputs."""
    settings = read_settings(arguments, module.SETTINGS) if module.SETTINGS is not None else None
    inputs = {name: getattr(arguments, name) for name in module.INPUTS}
    made = module.compute(inputs, settings)
    made_of = identity(stage, _named(inputs), settings.model_dump(mode="json") if settings is not None else {}, packages=module.PACKAGES)
    written = []
    for name, content in made.items():
        out = getattr(arguments, name)
        if isinstance(content, str):
            written += write_text_table(out, content, made_of)
        else:
            atomic.write_json(out, {"identity": made_of, **content})
            written.append(out)
    print(module.said(made) if hasattr(module, "said") else f"{', '.join(written[::2])}: {', '.join(map(_size, made.values()))}")
    return written


def _named(inputs):
    """{name: path} as identities record them: a single file by its option, those of a list by their paths."""
    single = {name: path for name, path in inputs.items() if not isinstance(path, list)}
    return single | {path: path for paths in inputs.values() if isinstance(paths, list) for path in paths}


def _size(content):
    return f"{content.count(chr(10)) - 1} rows" if isinstance(content, str) else "written"


def _option(name):
    return "--" + name.replace("_", "-")
