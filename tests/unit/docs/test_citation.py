"""CITATION.cff says of this software what the package says, in the keys of the Citation File Format 1.2."""

import tomllib
from pathlib import Path

import pytest
import yaml

import scalebound

ROOT = Path(__file__).resolve().parents[3]
NEEDED = {"cff-version", "message", "title", "authors"}
# of these, Zenodo takes what it shows
READ = {"type", "abstract", "keywords", "version", "license", "references"}


@pytest.fixture(scope="module")
def cited():
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_it_has_what_is_needed_and_what_is_read(cited):
    assert set(cited) == NEEDED | READ
    assert cited["cff-version"] == "1.2.0"
    assert cited["type"] == "software"
    assert all(isinstance(word, str) for word in cited["keywords"])
    assert len(set(cited["keywords"])) == len(cited["keywords"])


def test_it_agrees_with_the_package(cited):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cited["version"] == scalebound.__version__
    assert cited["license"] == project["license"]
    assert cited["title"].startswith(f"{project['name']}: ")


def test_the_paper_has_what_a_reference_needs(cited):
    (paper,) = cited["references"]
    assert {"type", "title", "authors"} <= set(paper)
    assert all(set(author) <= {"family-names", "given-names", "name"} for author in (*paper["authors"], *cited["authors"]))
