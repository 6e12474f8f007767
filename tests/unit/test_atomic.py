"""Files appear whole or not at all."""

import json
import os

import pytest

from scalebound import atomic


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError):
        _fail_half_way(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


def _fail_half_way(path):
    with atomic.replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError


def test_success_replaces_the_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "folder" / "file.bin"
    atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["file.bin"]


def test_files_are_readable_by_others_as_the_umask_says(tmp_path):
    atomic.write_bytes(tmp_path / "file", b"")
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask


def test_equal_values_are_equal_bytes(tmp_path):
    atomic.write_json(tmp_path / "a.json", {"b": 1, "a": [1.5]})
    atomic.write_json(tmp_path / "b.json", {"a": [1.5], "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1.5], "b": 1}


def test_nan_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic.write_json(tmp_path / "a.json", {"a": float("nan")})
    assert os.listdir(tmp_path) == []
