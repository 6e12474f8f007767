"""Archives of strangers: nothing is written outside of the temporary folder, nothing unfolds, nothing is left behind."""

import hashlib
import stat
import struct
import tempfile
import zipfile

import pytest
from limited import guarded, linux

from scalebound import cli
from scalebound.artifacts import archive, checksums
from scalebound.errors import InputError

PLAIN = {"README.md": b"# x\n" * 100, "results/a.csv": b"1,2\n" * 100}


def sums(files):
    return checksums.text_of({name: hashlib.sha256(data).hexdigest() for name, data in files.items()}).encode()


def make(path, files=None, listed=None, method=zipfile.ZIP_STORED, more=(), alter=None):
    """A zip of {name: bytes} and a list that fits; `more` are (ZipInfo or name, bytes), `alter` edits the whole as a bytearray."""
    files = PLAIN if files is None else files
    with zipfile.ZipFile(path, "w", method) as archived:
        for name, data in (*files.items(), *more):
            archived.writestr(name, data)
        archived.writestr(checksums.NAME, sums(files if listed is None else listed))
    if alter:
        data = bytearray(path.read_bytes())
        alter(data)
        path.write_bytes(data)
    return path


def entry(name, mode=stat.S_IFREG | 0o644):
    made = zipfile.ZipInfo(name)
    made.create_system, made.external_attr = 3, mode << 16
    return made


def put(place, data):
    """Write `data` at an offset into the first record of the directory."""

    def alter(raw):
        start = raw.index(b"PK\x01\x02") + place
        raw[start : start + len(data)] = data

    return alter


def cut(count):
    def alter(raw):
        del raw[count:]

    return alter


def one_twice(raw):
    """The second entry's directory record leads to the first one's data, and has its size: two for the bytes of one."""
    first, second = raw.index(b"PK\x01\x02"), raw.index(b"PK\x01\x02", raw.index(b"PK\x01\x02") + 4)
    for place in (16, 20, 24, 42):
        raw[second + place : second + place + 4] = raw[first + place : first + place + 4]


def everywhere(name):
    """A file of that name, listed as it should be."""
    return {"files": {**PLAIN, name: b"x"}}


HOSTILE = {
    "name above": everywhere("../outside"),
    "name above, later": everywhere("results/../../outside"),
    "absolute name": everywhere("/outside"),
    "drive": everywhere("C:/outside"),
    "backslashes": everywhere("results\\..\\..\\outside"),
    "empty part": everywhere("results//outside"),
    "line break": everywhere("results/a\nb"),
    "long name": everywhere("a" * 300),
    "deep name": everywhere("a/" * 600 + "b"),
    "file that is a folder": everywhere("README.md/x"),
    "one name in two cases": everywhere("readme.MD"),
    "folder": {"more": [(entry("folder/", stat.S_IFDIR | 0o755), b"")]},
    "link": {"listed": {**PLAIN, "link": b"/etc/passwd"}, "more": [(entry("link", stat.S_IFLNK | 0o777), b"/etc/passwd")]},
    "device": {"more": [(entry("device", stat.S_IFCHR | 0o644), b"")]},
    "name twice": {"more": [("README.md", b"other")]},
    "altered file": {"listed": {**PLAIN, "README.md": b"other"}},
    "missing file": {"listed": {**PLAIN, "results/b.csv": b"x"}},
    "file that is not listed": {"more": [("results/b.csv", b"x")]},
    "renamed file": {"files": {"README.md": PLAIN["README.md"], "results/b.csv": PLAIN["results/a.csv"]}, "listed": PLAIN},
    "name with a zero byte": {"alter": put(46 + 6, b"\0")},
    "compressed": {"method": zipfile.ZIP_DEFLATED},
    "bomb": {"files": {"bomb": bytes(2**26)}, "method": zipfile.ZIP_DEFLATED},
    "bomb that calls itself stored": {"files": {"bomb": bytes(2**26)}, "method": zipfile.ZIP_DEFLATED, "alter": put(10, b"\0\0")},
    "size beyond the file": {"alter": put(20, struct.pack("<II", 2**31, 2**31))},
    "size that is too small": {"alter": put(20, struct.pack("<II", 3, 3))},
    "two files of the same bytes": {"files": {"a": bytes(10_000), "b": b""}, "alter": one_twice},
    "encrypted": {"alter": put(8, b"\1")},
    "wrong checksum": {"alter": put(16, bytes(4))},
    "offset beyond the file": {"alter": put(42, struct.pack("<I", 2**31))},
    "truncated": {"alter": cut(-30)},
    "truncated to its half": {"alter": cut(400)},
    "empty": {"alter": cut(0)},
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_one_error_and_leaves_nothing(tmp_path, monkeypatch, capsys, name):
    (tmp_path / "deep/temporary").mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "deep/temporary"))
    path = make(tmp_path / "x.zip", **HOSTILE[name])
    assert cli.main(["verify", str(path)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"scalebound verify: error: {path}: ")
    assert shown.err.count("\n") == 1
    assert {found.relative_to(tmp_path).as_posix() for found in tmp_path.rglob("*")} == {"x.zip", "deep", "deep/temporary"}


@linux
@pytest.mark.parametrize("name", ["bomb", "bomb that calls itself stored", "size beyond the file"])
def test_a_bomb_gets_no_memory(tmp_path, name):
    path = make(tmp_path / "x.zip", **HOSTILE[name])

    def unpack():
        with archive.unpacked(path):
            pass

    assert guarded(unpack, megabytes=100) == "InputError"


@pytest.mark.parametrize("data", [None, b"", b"no archive", b"PK\x05\x06" + bytes(10), b"PK\x05\x06" + bytes(18)])
def test_what_is_no_archive_is_refused(tmp_path, data):
    if data is not None:
        (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(InputError), archive.unpacked(tmp_path / "x.zip"):
        pass


def test_a_list_too_long_to_be_one_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_LIST_BYTES", 10)
    with pytest.raises(InputError, match="SHA256SUMS in it has"), archive.unpacked(make(tmp_path / "x.zip")):
        pass


def test_more_files_than_a_run_has_are_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_FILES", 2)
    with pytest.raises(InputError, match="3 files in it"), archive.unpacked(make(tmp_path / "x.zip")):
        pass


def test_a_sound_archive_without_certificates_claims_nothing(tmp_path, capsys):
    assert cli.main(["verify", str(make(tmp_path / "x.zip"))]) == 1
    assert "no certificate.json in it" in capsys.readouterr().err
