"""What systems leave in folders is told apart from artifacts, by its name alone; links to folders are followed."""

import os

import pytest

from scalebound.artifacts.system_files import files_below, is_of_system, plain

LEFT = (
    ".DS_Store",
    "._bounds.csv",
    "Thumbs.db",
    "thumbs.db",
    "Desktop.ini",
    ".nfs000000000012ab3c00000001",
    "lost+found",
    ".Trash-1000",
    "@eaDir",
    "$RECYCLE.BIN",
)
OWN = ("bounds.csv", ".gitkeep", ".bounds.csv.abcd1234.csv", "run.json", "_bounds.csv", "DS_Store", "lost", ".nfs-notes", "model.safetensors")


@pytest.mark.parametrize("name", LEFT)
def test_left_by_a_system(name):
    assert is_of_system(name)


@pytest.mark.parametrize("name", OWN)
def test_somebody_s_own(name):
    assert not is_of_system(name)


def test_a_glob_finds_the_second_file_of_a_mac(tmp_path):
    for name in ("a.bin", "._a.bin"):
        (tmp_path / name).touch()
    assert [path.name for path in plain(tmp_path.glob("*.bin"))] == ["a.bin"]


def test_files_below(tmp_path):
    disk, results = tmp_path / "disk", tmp_path / "results"
    for name in ("training/step1/model.safetensors", "training/.DS_Store", "training/lost+found/deep/file"):
        (disk / name).parent.mkdir(parents=True, exist_ok=True)
        (disk / name).touch()
    (results / "ladder").mkdir(parents=True)
    (results / "ladder/bounds.csv").touch()
    (results / "training").symlink_to(disk / "training")
    (results / "ladder/dangling.png").symlink_to(tmp_path / "nowhere")
    # leads back to what holds it
    (disk / "training/up").symlink_to(results)
    files, left = files_below(results)
    assert files == ["ladder/bounds.csv", "ladder/dangling.png", "training/step1/model.safetensors"]
    assert left == ["training/.DS_Store", "training/lost+found/"]


def test_a_folder_that_cannot_be_read_is_no_empty_one(tmp_path, monkeypatch):
    (tmp_path / "ladder").mkdir()
    real = os.scandir

    def scandir(path):
        if str(path).endswith("ladder"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError, match="ladder"):
        files_below(tmp_path)
