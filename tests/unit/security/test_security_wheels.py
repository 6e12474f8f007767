"""Wheels are archives of text: never unpacked to their names, nor to more than a source may have."""

import json
import struct
import zipfile

import pyarrow.parquet as pq
import pytest
import yaml
from hostile import ROOT
from limited import guarded, linux

from scalebound import cli
from scalebound.configuration.config import parse
from scalebound.configuration.streams import Wheel, WheelStream
from scalebound.corpus import wheels
from scalebound.errors import InputError


def everything(name):
    return True


def wheel(path, name="a.py", data=b"x = 1\n" * 100, method=zipfile.ZIP_DEFLATED, alter=None):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, data)
    if alter:
        raw = bytearray(path.read_bytes())
        # where the entry's directory record and its compressed data begin
        alter(raw, raw.index(b"PK\x01\x02"), 30 + len(name))
        path.write_bytes(raw)
    return path


def put(raw, place, data):
    raw[place : place + len(data)] = data


HOSTILE_WHEELS = {
    "bomb": {"data": bytes(17 * 2**20)},
    "bomb that hides its size": {"data": bytes(300 * 2**20), "alter": lambda raw, d, _: put(raw, d + 24, struct.pack("<I", 100))},
    "damaged data": {"alter": lambda raw, _, data: put(raw, data, b"\xff" * 6)},
    "damaged bzip2": {"method": zipfile.ZIP_BZIP2, "alter": lambda raw, _, data: put(raw, data, b"\xff" * 6)},
    "damaged lzma": {"method": zipfile.ZIP_LZMA, "alter": lambda raw, _, data: put(raw, data + 4, b"\xff" * 6)},
    "wrong checksum": {"alter": lambda raw, d, _: put(raw, d + 16, bytes(4))},
    "unknown compression": {"alter": lambda raw, d, _: (put(raw, 8, b"\x63\0"), put(raw, d + 10, b"\x63\0"))},
    "encrypted": {"alter": lambda raw, d, _: (put(raw, 6, b"\1"), put(raw, d + 8, b"\1"))},
    "offset beyond the file": {"alter": lambda raw, d, _: put(raw, d + 42, struct.pack("<I", 2**31))},
    "name that is no UTF-8": {"name": "é.py", "alter": lambda raw, d, _: put(raw, d + 46, b"\xff\xff")},
}


def test_what_is_no_document_is_not_unpacked(tmp_path):
    """Neither a bomb nor damage beside the documents is touched."""
    path = wheel(tmp_path / "a.whl", "bomb.bin", bytes(17 * 2**20))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a.rst", "text")
    assert list(wheels.documents(path, lambda name: name.endswith(".rst"))) == [("a.rst", b"text")]
    with pytest.raises(InputError, match=r"bomb\.bin is"):
        list(wheels.documents(path, everything))


@linux
@pytest.mark.parametrize("name", HOSTILE_WHEELS)
def test_a_hostile_wheel_is_refused_without_memory_for_it(tmp_path, name):
    path = wheel(tmp_path / "a.whl", **HOSTILE_WHEELS[name])
    assert guarded(lambda: list(wheels.documents(path, everything)), megabytes=200) == "InputError"


@pytest.mark.parametrize("data", [None, b"", b"no archive", b"PK\x05\x06" + bytes(10)])
def test_a_wheel_that_is_none_is_refused(tmp_path, data):
    if data is not None:
        (tmp_path / "a.whl").write_bytes(data)
    with pytest.raises(InputError):
        list(wheels.documents(tmp_path / "a.whl", everything))


@pytest.mark.parametrize("name", ["../../outside.py", "/outside.py", "C:\\outside.py", "a\nb.py", "$(touch owned).py"])
def test_names_inside_a_wheel_are_text_and_never_paths(tmp_path, monkeypatch, name):
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    wheel(folder / "a.whl", name)
    settings = json.dumps(stream(wheels=[{"name": "a", "version": "1", "file": "a.whl", "sha256": "0" * 64}]))
    before = set(tmp_path.rglob("*"))
    assert cli.main(["documents", "--settings", settings, "--wheels", "a.whl", "--out", "documents.parquet"]) == 0
    assert pq.read_table("documents.parquet")["path"].to_pylist() == [name]
    assert set(tmp_path.rglob("*")) - before == {folder / "documents.parquet"}


def stream(**changes):
    return yaml.safe_load((ROOT / "config/smoke.yaml").read_text())["streams"]["smoke-sources"] | {"tokenizer": {"vocab_size": 300}, "sha256": None} | changes


@pytest.mark.parametrize("file", ["../x.whl", "/x.whl", "x/y.whl", "..\\x.whl", ".x.whl", "x.whl\n", "x.whl/..", "-x.whl", "x whl", "x.py"])
def test_no_wheel_lies_outside_of_its_folder(file):
    good = {"name": "x", "version": "1", "file": "x.whl", "sha256": "0" * 64}
    parse(Wheel, good, "wheel")
    with pytest.raises(InputError, match="file"):
        parse(Wheel, good | {"file": file}, "wheel")


@pytest.mark.parametrize("suffixes", [[], [""], ["."], ["rst"], [".rst", ".rst"], ["../x"], [".r/st"], [".r st"], [".rst\n"], ["." + "x" * 33], ".rst", [1]])
def test_a_suffix_is_the_end_of_a_plain_name(suffixes):
    parse(WheelStream, stream(suffixes=[".rst", ".tar.gz", ".x_1-2"]), "stream")
    with pytest.raises(InputError, match="suffixes"):
        parse(WheelStream, stream(suffixes=suffixes), "stream")


@pytest.mark.parametrize("name", ["x --index-url=http://localhost", "x\n--no-index", "x @ file:///x", "-r x", "x;y", "../x"])
def test_no_pin_of_a_wheel_is_an_option_of_pip(name):
    with pytest.raises(InputError, match="name"):
        parse(Wheel, {"name": name, "version": "1", "file": "x.whl", "sha256": "0" * 64}, "wheel")
    with pytest.raises(InputError, match="version"):
        parse(Wheel, {"name": "x", "version": f"1{name}", "file": "x.whl", "sha256": "0" * 64}, "wheel")
