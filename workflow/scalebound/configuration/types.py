"""Types that the configuration's models share; nothing here imports torch."""

import re
from functools import cache
from typing import Annotated, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

# what a message says in place of a pattern
WORDS = {}


def spelled(pattern, words):
    """Text of a regular expression; `words` say what it asks for, since a message never shows the expression."""
    WORDS[pattern] = words
    return Annotated[str, Field(pattern=pattern)]


# owner and name on a hub; neither may begin with a dot, so that no part climbs out of a folder
REPO = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$"
REVISION = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,127}){0,3}$"
_NAMES = "letters, digits, `.`, `_` and `-`, a letter or digit first"

Slug = spelled(r"^[a-z0-9][a-z0-9._-]{0,63}$", "write at most 64 lower-case letters, digits, `.`, `_` and `-`, a letter or digit first")
Sha256 = spelled(r"^[0-9a-f]{64}$", "write the 64 hexadecimal digits, in lower case, that sha256sum prints")
Repo = spelled(REPO, f"write owner/name, each of {_NAMES}")
Revision = spelled(REVISION, f"write a branch, tag or commit: {_NAMES}, and `/` between parts")
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(ge=0, lt=1)]


def check_path(path):
    """A path of this machine that rules can quote and snakemake passes on. Raises ValueError that says what it may not hold."""
    if odd := sorted(set(path) & set("{}")):
        raise ValueError(f"snakemake would take {' '.join(odd)} for a wildcard: rename the file or folder, or name a link to it")
    if odd := sorted(set(path) & set("$`;&|<>\"'\\*?")):
        raise ValueError(f"a path may not hold {' '.join(odd)}, which mean something to a shell: rename the file or folder, or name a link to it")
    if not path.isprintable():
        raise ValueError("a path may not hold line breaks, tabs or invisible characters: rename the file or folder, or name a link to it")
    if path != path.strip() or path.startswith(("-", "~")):
        raise ValueError("a path may not begin with `-` or `~`, nor begin or end with a blank: write it from / on, or from the folder of the project")
    if "://" in path:
        raise ValueError("this is an address: name a file or folder of this machine")
    return path


LocalPath = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(check_path)]

# a float of YAML 1.2 that the YAML 1.1 of snakemake reads as text: it asks for a point before the exponent and a sign after it
_EXPONENT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+")


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _exponents(cls, value):
        """Numbers such as 2e-2, where numbers with a fraction are wanted."""
        if not isinstance(value, dict):
            return value
        return {key: _numbers(given) if key in _floats_of(cls) else given for key, given in value.items()}


@cache
def _floats_of(model):
    """Names of a model's fields that are a float or a list of them."""
    return frozenset(name for name, field in model.model_fields.items() if _mentions_float(field.annotation))


def _mentions_float(annotation):
    return annotation is float or any(_mentions_float(part) for part in get_args(annotation))


def _numbers(given):
    return [_number(item) for item in given] if isinstance(given, list) else _number(given)


def _number(given):
    return float(given) if isinstance(given, str) and _EXPONENT.fullmatch(given) else given


def members_of(union):
    """The models of an annotated union of them."""
    return get_args(get_args(union)[0])


def kinds_of(union, key):
    """The values of the key by which the models of a union are told apart."""
    return tuple(kind for member in members_of(union) for kind in get_args(member.model_fields[key].annotation))
