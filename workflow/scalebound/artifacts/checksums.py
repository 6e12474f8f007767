"""`SHA256SUMS`: the digest of every other file of a folder, as `sha256sum --check` reads it."""

import re

from scalebound.errors import InputError

NAME = "SHA256SUMS"
REMEDY = "Get it again from where it came from"
SHOWN = 5
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def text_of(digests):
    """The file's text, of {name: sha256 in hex}."""
    return "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(digests.items()))


def read_sums(data, where):
    """{name: sha256} of the bytes of the file. Raises InputError when they are no such list."""
    try:
        lines = [_LINE.fullmatch(line) for line in data.decode("utf-8").splitlines()]
    except UnicodeDecodeError:
        lines = [None]
    if not all(lines) or len({line[2] for line in lines}) < len(lines):
        raise InputError(where, f"{NAME} in it is no list of digests and names", REMEDY)
    return {line[2]: line[1] for line in lines}


def check(listed, found, where):
    """Compare {name: sha256} of the list with that of the files, the list itself left out.

    Raises:
        InputError: a file is altered, missing, or not listed; the message names the first few.
    """
    problems = [f"{name} is missing" for name in sorted(set(listed) - set(found))]
    problems += [f"{name} is not listed" for name in sorted(set(found) - set(listed))]
    problems += [f"{name} is altered" for name in sorted(set(listed) & set(found)) if listed[name] != found[name]]
    if problems:
        shown = ", ".join(problems[:SHOWN]) + (f", and {len(problems) - SHOWN} more" if len(problems) > SHOWN else "")
        raise InputError(where, f"not as its {NAME} says: {shown}", REMEDY)
