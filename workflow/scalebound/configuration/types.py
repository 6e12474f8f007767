"""Types that the configuration's models share; nothing here imports torch."""

from typing import Annotated, get_args

from pydantic import BaseModel, ConfigDict, Field

SLUG = r"^[a-z0-9][a-z0-9._-]{0,63}$"
SHA256 = r"^[0-9a-f]{64}$"
# owner and name on a hub; neither may begin with a dot, so that no part climbs out of a folder
REPO = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$"
REVISION = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,127}){0,3}$"
FOLDER = r"^/?[A-Za-z0-9_.-][A-Za-z0-9_. +/-]{0,1023}$"

Slug = Annotated[str, Field(pattern=SLUG)]
Sha256 = Annotated[str, Field(pattern=SHA256)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Repo = Annotated[str, Field(pattern=REPO)]
Revision = Annotated[str, Field(pattern=REVISION)]
Folder = Annotated[str, Field(pattern=FOLDER)]


def members_of(union):
    """The models of an annotated union of them."""
    return get_args(get_args(union)[0])


def kinds_of(union, key):
    """The values of the key by which the models of a union are told apart."""
    return tuple(kind for member in members_of(union) for kind in get_args(member.model_fields[key].annotation))


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
