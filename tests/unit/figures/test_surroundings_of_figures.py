"""A figure is the same picture whatever the user's own settings of matplotlib are: the audit compares bytes."""

import hashlib
import os
import subprocess
import sys

import pytest

DRAW = """
import sys
from scalebound.figures import style
with style.figure() as (drawn, axes):
    axes.plot([1, 2], [3, 4])
    axes.set_xlabel("x")
    style.save(drawn, sys.argv[1] + ".png", sys.argv[1] + ".pdf", {"stage": "figures"})
"""
RC = "font.size: 30\nlines.linewidth: 9\naxes.facecolor: red\nbackend: qtagg\nxtick.direction: in\n"


def drawn(place, **environment):
    """Digests of both files, drawn by a process of its own."""
    done = subprocess.run([sys.executable, "-c", DRAW, str(place)], env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [hashlib.sha256(place.with_suffix(form).read_bytes()).hexdigest() for form in (".png", ".pdf")]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    return drawn(folder / "figure", MPLCONFIGDIR=str(folder), MPLBACKEND="agg")


@pytest.mark.parametrize("backend", ["nonsense", "module://matplotlib_inline.backend_inline", "qtagg"])
def test_a_backend_that_a_notebook_or_a_desktop_names(plain, tmp_path, backend):
    assert drawn(tmp_path / "figure", MPLBACKEND=backend, MPLCONFIGDIR=str(tmp_path)) == plain


def test_a_matplotlibrc(plain, tmp_path):
    (tmp_path / "matplotlibrc").write_text(RC)
    assert drawn(tmp_path / "figure", MPLCONFIGDIR=str(tmp_path)) == plain


def test_a_folder_of_settings_that_cannot_be_made(plain, tmp_path):
    (tmp_path / "file").touch()
    assert drawn(tmp_path / "figure", MPLCONFIGDIR=str(tmp_path / "file/matplotlib")) == plain
