"""Archives: the same bytes of the same files, and back again."""

import os
import subprocess
import zipfile

import pytest

from scalebound.artifacts import archive, checksums
from scalebound.errors import InputError


@pytest.fixture
def files(tmp_path):
    """{name in the archive: file}, some of them in folders, one of them empty."""
    found = {}
    for name, data in {"b.txt": b"b", "a/c.bin": bytes(range(256)) * 9000, "a/empty": b"", "Z": b"z\n"}.items():
        found[name] = tmp_path / name.replace("/", "-")
        found[name].write_bytes(data)
    return found


def test_what_was_written_is_unpacked(tmp_path, files):
    digests = archive.write(tmp_path / "x.zip", files)
    with archive.unpacked(tmp_path / "x.zip") as (folder, found):
        assert found == digests
        assert {name: (folder / name).read_bytes() for name in found} == {name: path.read_bytes() for name, path in files.items()}
    assert not folder.exists()


def test_the_bytes_follow_from_names_and_contents_alone(tmp_path, files):
    archive.write(tmp_path / "x.zip", files)
    for path in files.values():
        os.utime(path, (1e9, 1e9))
        path.chmod(0o700)
    archive.write(tmp_path / "y.zip", dict(reversed(files.items())))
    assert (tmp_path / "y.zip").read_bytes() == (tmp_path / "x.zip").read_bytes()


def test_nothing_in_it_tells_of_the_machine(tmp_path, files):
    archive.write(tmp_path / "x.zip", files)
    with zipfile.ZipFile(tmp_path / "x.zip") as archived:
        entries = archived.infolist()
    assert [entry.filename for entry in entries] == sorted([*files, "SHA256SUMS"])
    assert {(entry.date_time, entry.create_system, oct(entry.external_attr >> 16), entry.compress_type, entry.extra) for entry in entries} == {
        ((1980, 1, 1, 0, 0, 0), 3, "0o100644", zipfile.ZIP_STORED, b"")
    }


def test_other_tools_read_the_list(tmp_path, files):
    archive.write(tmp_path / "x.zip", files)
    with zipfile.ZipFile(tmp_path / "x.zip") as archived:
        archived.extractall(tmp_path / "out")
    done = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=tmp_path / "out", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": OK\n") == len(files)


@pytest.mark.parametrize("name", ["../a", "/a", "a//b", "a/./b", "a\\b", "C:a", "a\nb", "", "a/", "SHA256SUMS", "b.TXT", "b.txt/c"])
def test_a_name_that_could_not_be_unpacked_everywhere_is_not_written(tmp_path, files, name):
    with pytest.raises(InputError):
        archive.write(tmp_path / "x.zip", {**files, name: files["Z"]})
    assert not list(tmp_path.glob("*.zip"))


def test_a_file_that_changes_meanwhile_leaves_no_archive(tmp_path, files, monkeypatch):
    monkeypatch.setattr(archive, "file_sha256", lambda path: "0" * 64)
    with pytest.raises(InputError, match="changed while it was written"):
        archive.write(tmp_path / "x.zip", files)
    assert not list(tmp_path.glob("*.zip"))


@pytest.mark.parametrize("data", [b"\xff", b"no list\n", b"0" * 64 + b" one blank\n", (b"0" * 64 + b"  a\n") * 2])
def test_a_list_that_is_none_is_refused(data):
    with pytest.raises(InputError, match="no list of digests"):
        checksums.read_sums(data, "x.zip")


def test_the_message_names_the_first_few_files_that_differ():
    listed = dict.fromkeys("abcdefg", "0")
    with pytest.raises(InputError, match=r"a is missing, b is missing, h is not listed, c is altered, d is altered, and 3 more"):
        checksums.check(listed, dict.fromkeys("cdefgh", "1"), "x.zip")
    checksums.check(listed, listed, "x.zip")
