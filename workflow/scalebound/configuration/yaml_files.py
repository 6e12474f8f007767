"""The configuration's files as they are written: what YAML would take for something else, without a word, is one message.

Snakemake reads and merges them itself, by YAML 1.1, and hands over their values; this looks at the same files beforehand.
"""

import json
import re
from pathlib import Path

import yaml

from scalebound.configuration.text_files import read_text
from scalebound.errors import InputError

MAIN = "config/config.yaml"
# octal, and to the base of sixty
_OTHERWISE = re.compile(r"[-+]?(0[0-7_]+|.*:.*)")


def check_files(presets):
    """Look at `config/config.yaml` and at the presets of the command line, paths from the working directory.

    Raises:
        InputError: there is no `config/config.yaml` here; or a file is no YAML, gives one key twice, or holds a number that
            YAML 1.1 reads as another one (010 is 8, 1:30 is 90).
    """
    if not Path(MAIN).is_file():
        raise InputError(Path.cwd(), f"no {MAIN} in it", "Run snakemake in the folder of the project, where its Snakefile lies, or name that by --directory")
    for path in (MAIN, *presets):
        _check(path, read_text(path, "Correct the name of the configuration"))


def _check(path, text):
    try:
        json.loads(text, object_pairs_hook=lambda pairs: _distinct(path, pairs))
    except json.JSONDecodeError:
        try:
            yaml.load(text, Loader=_StrictSafeLoader)
        except yaml.MarkedYAMLError as error:
            place = f"{path}, line {error.problem_mark.line + 1}" if error.problem_mark else path
            tab = "; indent by blanks, not by tabs" if "\\t" in str(error.problem) else ""
            raise InputError(place, str(error.problem or error.context), f"Correct the file{tab}") from None
        except yaml.YAMLError as error:
            raise InputError(path, f"no YAML ({' '.join(str(error).split())[:200]})", "Correct the file") from None


def _distinct(path, pairs):
    names = [name for name, _ in pairs]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(path, f"key {twice[0]!r} occurs twice in one section", "Keep one of the two")
    return dict(pairs)


class _StrictSafeLoader(yaml.SafeLoader):
    def construct_mapping(self, node, deep=False):
        seen = {}
        for key, _ in node.value:
            # what `<<` brings in may be given again: that is what it is for
            if isinstance(key, yaml.ScalarNode) and seen.setdefault((key.tag, key.value), key) is not key:
                first = seen[key.tag, key.value].start_mark.line + 1
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} occurs a second time, first in line {first}", key.start_mark)
        return super().construct_mapping(node, deep)

    def number(self, node):
        found = yaml.SafeLoader.yaml_constructors[node.tag](self, node)
        if _OTHERWISE.fullmatch(node.value):
            raise yaml.constructor.ConstructorError(None, None, f"{node.value} is {found} to YAML: write it so, or put it in quotes", node.start_mark)
        return found


for _kind in ("int", "float"):
    _StrictSafeLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _StrictSafeLoader.number)
