"""Files appear whole or not at all."""

import errno
import json
import os

import pytest

from scalebound import cli
from scalebound.artifacts import atomic
from scalebound.commands import digest


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


def test_a_full_disk_is_told_of_by_the_name_of_what_was_to_be_written(tmp_path):
    with pytest.raises(OSError, match="No space left") as error, atomic.replacing(tmp_path / "a.bin") as temporary:
        raise OSError(errno.ENOSPC, "No space left on device", str(temporary))
    assert error.value.filename == str(tmp_path / "a.bin")
    assert os.listdir(tmp_path) == []


def test_names_of_temporary_files_are_known_as_such(tmp_path):
    with atomic.replacing(tmp_path / "bounds.csv") as temporary:
        assert atomic.is_temporary(temporary.relative_to(tmp_path))
    assert atomic.is_temporary("results/training/ladder-2m/.unfinished.pt")
    for name in ("bounds.csv", ".gitkeep", ".snakemake/log", "step16/config.json"):
        assert not atomic.is_temporary(name)


@pytest.mark.parametrize("error", [MemoryError("1 TB"), OSError(errno.EISDIR, "Is a directory", "a\x1b[2Jb")])
def test_the_command_line_says_in_one_plain_line_what_a_user_can_mend(monkeypatch, capsys, error):
    def fail(arguments):
        raise error

    monkeypatch.setattr(digest, "run", fail)
    assert cli.main(["digest", "score"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("scalebound digest: error: ")
    assert "\x1b" not in line
