"""Many paths in few words: `results/a/{x,y}/{1,2}/f` for the four of them, since a command line is limited and a family is not."""

import itertools
import math
import re

_BRACES = re.compile(r"\{([^{}]*)\}")


def braced(paths):
    """[one word] for a list of paths that is every combination of some of their parts, in this order; else the paths themselves."""
    columns = list(zip(*(path.split("/") for path in paths)))
    if len(paths) < 2 or len({path.count("/") for path in paths}) > 1 or any("{" in path or "," in path or "}" in path for path in paths):
        return list(paths)
    alternatives = [list(dict.fromkeys(column)) for column in columns]
    if math.prod(map(len, alternatives)) != len(paths):
        return list(paths)
    word = "/".join(names[0] if len(names) == 1 else "{" + ",".join(names) + "}" for names in alternatives)
    return [word] if expanded(word) == list(paths) else list(paths)


def expanded(word):
    """The paths that a word stands for: itself where no braces are in it."""
    parts = _BRACES.split(word)
    choices = [part.split(",") if k % 2 else [part] for k, part in enumerate(parts)]
    return ["".join(combination) for combination in itertools.product(*choices)]
