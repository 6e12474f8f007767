"""Every relative link and image of the Markdown files leads to a file, and every anchor to a heading."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(path for folder in (".", "docs", "config") for path in (ROOT / folder).glob("*.md"))
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.M)


def links(text):
    """Targets of links and images within the repository, those in code left out."""
    return [target for target in LINK.findall(CODE.sub("", text)) if not re.match(r"[a-z]+:", target)]


def anchors(text):
    """As GitHub makes them of headings: lower case, no punctuation, hyphens for blanks, a number for each that comes again."""
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))]
    return [f"{name}-{plain[:k].count(name)}" if name in plain[:k] else name for k, name in enumerate(plain)]


def waits_for_a_run(place):
    """Whether a file belongs to a family of which no run is kept; test_pages.py asks for those that there must be."""
    kept = ROOT / "docs/results"
    return place.is_relative_to(kept) and not (kept / place.relative_to(kept).parts[0]).exists()


def broken(page, text):
    found = []
    for target in links(text):
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if waits_for_a_run(place):
            continue
        if not place.exists() or (anchor and anchor not in anchors(text if place == page else place.read_text(encoding="utf-8"))):
            found.append(target)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    assert broken(page, page.read_text(encoding="utf-8")) == []


def test_every_page_of_docs_is_linked_from_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} <= {target.partition("#")[0] for target in links(text)}


def test_every_file_of_docs_is_shown_or_linked_or_made():
    """No picture is left over when its page has gone."""
    shown = {(page.parent / target.partition("#")[0]).resolve() for page in PAGES for target in links(page.read_text(encoding="utf-8"))}
    pictures = {path.resolve() for pattern in ("*.png", "*.svg", "results/*/figures/*") for path in (ROOT / "docs").glob(pattern)}
    assert pictures <= shown


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[a](docs/nothing.md)", ["docs/nothing.md"]),
        ("![a](docs/nothing.png)", ["docs/nothing.png"]),
        ("# A title, with `code`\n[a](#a-title-with-code) [b](#b)", ["#b"]),
        ("# A\n# A\n[a](#a-1) [b](#a-2)", ["#a-2"]),
        ("```\n# A\n[a](nothing)\n```\n`[a](nothing)` [b](#a) [c](https://example.org/x)", ["#a"]),
        ("[a](config/README.md#keys) [b](config/README.md#no-keys)", ["config/README.md#no-keys"]),
    ],
)
def test_a_broken_link_is_found(text, wrong):
    assert broken(ROOT / "README.md", text) == wrong
