"""Jobs find the package of their own checkout, wherever it lies, or one message says that they cannot."""

import os

import pytest

from scalebound.errors import InputError
from scalebound.plan import interpreter


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv("PATH", os.environ["PATH"])
    monkeypatch.setenv("PYTHONPATH", "before")
    return os.environ


@pytest.mark.parametrize("folder", ["/dépôt [1] =x/workflow", "/it's a & b/workflow"])
def test_the_package_of_the_checkout_comes_first(environment, folder):
    interpreter.export(folder)
    interpreter.export(folder)
    assert environment["PYTHONPATH"].split(os.pathsep) == [folder, "before"]


@pytest.mark.parametrize(("folder", "odd"), [(f"/a{os.pathsep}b/workflow", os.pathsep), ("/a {x}/workflow", "{ }")])
def test_a_folder_that_cannot_be_named_is_refused(environment, folder, odd):
    """PYTHONPATH would name two others, and the package that happens to be installed would run under the rules of this one."""
    with pytest.raises(InputError, match=f"{odd} in its path.*Move the project"):
        interpreter.export(folder)
    assert environment["PYTHONPATH"] == "before"
