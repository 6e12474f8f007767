"""The table of checkpoints as editors and spreadsheets leave it: read, or refused in one message that names file and line."""

import pytest

from scalebound.configuration import checkpoints
from scalebound.configuration.tab_separated import read_tab_separated
from scalebound.errors import InputError

HEADER = "slug\tfamily\tsource\trepo\trevision\tstep\ttokens_seen\tstream\tnote"
ROW = "mine\tfamily\tlocal\tmodels/é [1]\t-\t20\t4000\trows\ta note"


@pytest.fixture
def read(tmp_path):
    def write_and_read(text, encoding="utf-8"):
        (tmp_path / "rows.tsv").write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return checkpoints.read_table(tmp_path / "rows.tsv")

    return write_and_read


PLAIN = f"# words\n{HEADER}\n{ROW}\n"
SAVED = {
    "byte-order mark": "\ufeff" + PLAIN,
    "byte-order mark before the header": "\ufeff" + f"{HEADER}\n{ROW}\n",
    "ends of lines of Windows": PLAIN.replace("\n", "\r\n"),
    "ends of lines of old Macs": PLAIN.replace("\n", "\r"),
    "no end of line": PLAIN.rstrip("\n"),
    "quoted cells": "\n".join("\t".join(f'"{cell}"' for cell in line.split("\t")) for line in PLAIN.splitlines()),
    "cells behind the last column": PLAIN.replace("\n", "\t\t\n"),
    "empty rows of cells": PLAIN + "\t" * 8 + "\n\n",
    "blanks around cells": PLAIN.replace("\t", " \t "),
    "capital letters": PLAIN.replace(HEADER, HEADER.title()),
    "another order of columns": "\n".join("\t".join(reversed(line.split("\t"))) for line in PLAIN.splitlines()[1:]),
    "a quote in a comment": PLAIN.replace("# words", '# the\t"first'),
}


@pytest.mark.parametrize("way", SAVED)
def test_a_table_is_read_however_it_was_saved(read, way):
    (row,) = read(SAVED[way])
    assert row.model_dump() == {
        "slug": "mine",
        "family": "family",
        "source": "local",
        "repo": "models/é [1]",
        "revision": "-",
        "step": 20,
        "tokens_seen": 4000,
        "stream": "rows",
        "note": "a note",
    }


def test_an_empty_note_may_lack_its_tab(read):
    assert [row.note for row in read(f"{HEADER}\n{ROW.removesuffix(chr(9) + 'a note')}\n{ROW.replace('mine', 'other')}\n")] == ["", "a note"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN.replace("\t", ";"), "its columns are separated by semicolons. The columns are slug .*, separated by tabs"),
        (PLAIN.replace("\t", ","), "its columns are separated by commas"),
        (PLAIN.replace("\t", "  "), "its columns are separated by blanks"),
        (PLAIN.encode("utf-16"), r"not in UTF-8 \(UTF-16\). Save it as UTF-8"),
        (PLAIN.encode("latin-1"), r"not in UTF-8 \(byte \d+ belongs to another encoding\)"),
        (PLAIN.replace("4000", "2.39075E+11"), r"line 3: tokens_seen '2.39075E\+11'. Write a whole number without separators, point or exponent"),
        (PLAIN.replace("4000", "4,000"), "line 3: tokens_seen '4,000'"),
        (PLAIN.replace("4000", "4000.0"), "line 3: tokens_seen '4000.0'"),
        (PLAIN.replace("\t20\t", "\t\t"), "line 3: step ''"),
        (PLAIN.replace("\t4000\trows", " 4000 rows"), "line 3: 7 values for 9 columns"),
        (PLAIN + f"# more\n\n{ROW}\tx\n", "line 6: 10 values for 9 columns"),
        (PLAIN.replace("\tnote", "\tstream"), "a column occurs twice"),
        (PLAIN.replace("\tstream\t", "\tstreem\t"), "unknown column 'streem'"),
        (PLAIN.replace("é [1]", "{a}"), "line 3: key `repo`: snakemake would take { } for a wildcard"),
        (PLAIN.replace("mine", "Mine"), "line 3: key `slug`: write at most 64 lower-case letters.*found 'Mine'"),
        ("# nothing\n\t\t\n", "empty table"),
    ],
)
def test_any_other_table_is_one_message(read, text, message):
    with pytest.raises(InputError, match=rf"rows\.tsv.*{message}"):
        read(text)


def test_a_folder_in_place_of_a_table_is_one_message(tmp_path):
    with pytest.raises(InputError, match="not a readable file"):
        checkpoints.read_table(tmp_path)


def test_other_tables_are_read_by_the_same_rules(tmp_path):
    (tmp_path / "t.tsv").write_bytes('\ufeffValue\tName\r\n1e3\t"a # b"\r\n\t007\r\n'.encode())
    table = read_tab_separated(tmp_path / "t.tsv", ("name", "value"), ("value",))
    assert table["name"].tolist() == ["a # b", "007"]
    assert table["value"].tolist()[0] == 1000.0
    assert table["value"].isna().tolist() == [False, True]
