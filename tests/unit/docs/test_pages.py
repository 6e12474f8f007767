"""README and docs against the tables that docs/results keeps: a number that went stale, or that names no table, shows here."""

import json
import runpy

import pages
import pictures
import pytest
import results

from scalebound.artifacts.provenance import describe_files

FAMILIES = sorted(path for path in pages.KEPT.iterdir() if path.is_dir())
TABLE = "checkpoint,quantizer,loss,bound\nsmall,a,3.25,4.5\nlarge,a,2.5,4.25\nsmall,b,3.25,\n"
PAGE = """<!--rows a = tiny/bounds.csv quantizer=a by checkpoint -->
The loss falls<!--? falling(a.loss) --> from 3.25<!--= f(a.loss[0], 2) --> to (2.50<!--= f(a["large"].loss, 2) -->),
`0.1` and arXiv:2504.15208 apart, 3.79<!--: config/published.tsv -->.

<!--table a
checkpoint = checkpoint
gap = plus(bound - loss, 1)
-->
| checkpoint | gap |
|---|---|
| small | +1.2 |
| large | +1.8 |
<!--end-->
"""


@pytest.fixture
def kept(tmp_path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny/bounds.csv").write_text(TABLE)
    return tmp_path


@pytest.mark.parametrize("path", pages.pages(), ids=lambda path: path.name)
def test_every_number_is_that_of_its_table_and_every_claim_is_true(path):
    text = path.read_text(encoding="utf-8")
    written, problems = pages.render(text)
    assert problems == []
    assert written == text, "run `make docs`"


@pytest.mark.parametrize("path", pages.pages()[1:], ids=lambda path: path.name)
def test_the_first_sentence_of_a_page_says_who_needs_it(path):
    assert path.read_text(encoding="utf-8").splitlines()[2].startswith("For those who ")


def test_the_tables_of_the_default_run_are_kept():
    """Without them README and docs have no numbers."""
    assert (pages.KEPT / "ladder/provenance.json").is_file(), "run `make`, its studies, and `make docs-results FAMILIES=ladder`"


def test_the_readme_is_short():
    assert len((pages.ROOT / "README.md").read_text().splitlines()) <= 130


@pytest.mark.parametrize("family", FAMILIES, ids=lambda path: path.name)
def test_kept_files_are_those_of_the_run_and_small(family):
    provenance = json.loads((family / "provenance.json").read_text())
    names = sorted(path.relative_to(family).as_posix() for path in family.rglob("*") if path.is_file() and path.name != "provenance.json")
    assert provenance["files"] == describe_files(family, names)
    assert all(len(commit) == 40 for commit in provenance["commits"])
    assert all(file["bytes"] < (100_000 if file["name"].endswith(".csv") else 500_000) for file in provenance["files"])
    assert [f"figures/{name}" for name in results.shown_figures(family.name)] == [name for name in names if name.endswith(".png")]


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_pictures_are_as_they_are_drawn(name):
    assert (pages.ROOT / "docs" / name).read_text(encoding="utf-8") == pictures.PICTURES[name](), "run `make docs`"


def test_the_picture_of_the_rooms_has_the_floors_that_hold():
    """Those of the test of imports, without the modules that are no rooms."""
    held = runpy.run_path(str(pages.ROOT / "tests/unit/test_rooms.py"))["FLOORS"]
    rooms = [{name for name in floor if (pages.ROOT / "workflow/scalebound" / name).is_dir()} for floor in held]
    assert [set(floor) for floor in reversed(pictures.FLOORS)] == [floor for floor in rooms if floor]


def test_a_page_that_is_right_is_left_alone(kept):
    assert pages.render(PAGE, kept) == (PAGE, [])


@pytest.mark.parametrize(("right", "stale"), [("from 3.25", "from 3.24"), ("(2.50", "(?"), ("| small | +1.2 |\n", ""), ("| +1.8 |", "| +9 |")])
def test_a_number_that_went_stale_is_written_anew(kept, right, stale):
    assert PAGE.count(right) == 1
    assert pages.render(PAGE.replace(right, stale), kept) == (PAGE, [])


def test_another_table_changes_number_cell_and_claim(kept):
    (kept / "tiny/bounds.csv").write_text(TABLE.replace("large,a,2.5,4.25", "large,a,4,4.25"))
    written, problems = pages.render(PAGE, kept)
    assert "(4.00<!--" in written
    assert "| large | +0.2 |" in written
    assert problems == ["no longer true: falling(a.loss)"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("The loss", "The loss of 3.5 nats", "no comment says where 3.5 comes from"),
        ("The loss", "The loss, 40% of it,", "no comment says where 40% comes from"),
        ("3.79<!--: config", "3.78<!--: config", "3.78 is not in config/published.tsv"),
        ("f(a.loss[0], 2)", "f(a.losses[0], 2)", "KeyError"),
        ("f(a.loss[0], 2)", "f(b.loss[0], 2)", "'b' is undefined"),
        ('a["large"]', 'a["huge"]', "ValueError"),
        ("quantizer=a", "quantizer=b", "ValueError"),
        ("quantizer=a", "quantizer=c", "no row where quantizer=c"),
        ("tiny/bounds.csv", "tiny/none.csv", "FileNotFoundError"),
        ("quantizer=a by checkpoint", "by checkpoint", "several rows of one name"),
        ("falling(a.loss)", "rising(a.loss)", "no longer true: rising(a.loss)"),
        ("falling(a.loss)", "a.__class__", "unsafe"),
    ],
)
def test_what_is_wrong_is_named(kept, old, new, problem):
    assert PAGE.count(old) == 1
    assert any(problem in found for found in pages.render(PAGE.replace(old, new), kept)[1])


def test_a_family_that_is_not_kept_leaves_a_line_that_says_how_to_get_it(kept):
    table = "<!--table a\nloss = f(loss, 2)\n-->\n| 3.25 |\n<!--end-->\n"
    page = f"<!--rows a = far/bounds.csv -->\n{table}It falls<!--? falling(a.loss) --> to 3.25<!--= f(a.loss[0], 2) -->.\n"
    written, problems = pages.render(page, kept)
    assert problems == []
    assert "-->\nNo run of the family `far` is kept here: `make docs-results FAMILIES=far` takes the table from a finished one.\n<!--end-->" in written
    assert "to …<!--=" in written
    assert pages.render(written, kept) == (written, [])


def test_a_missing_value_is_no_number(kept):
    page = PAGE.replace("quantizer=a", "quantizer=b").replace('a["large"].loss', 'a["small"].bound')
    assert any("must be real number" in found for found in pages.render(page, kept)[1])
