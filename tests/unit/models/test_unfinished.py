"""What a long loop keeps on disk: for the same job alone, whole or not at all, and counted."""

import errno
import os
import resource

import pytest
import torch

from scalebound.artifacts import atomic
from scalebound.artifacts.provenance import Recorder
from scalebound.errors import InputError
from scalebound.models import unfinished
from scalebound.models.unfinished import NOWHERE, Unfinished

STATE = {"step": 3, "weights": torch.arange(4.0), "history": [(1, 0.1), (2, 1 / 3)], "average": None}


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(unfinished, "SECONDS", 0)


def job(folder, **settings):
    return Unfinished(folder, {"stage": "train", "settings": settings}, Recorder("train", []))


def test_the_same_job_gets_its_state_back_bit_for_bit(tmp_path, capsys):
    assert job(tmp_path, seed=1).restore() is None
    job(tmp_path, seed=1).keep(lambda: STATE)
    found = job(tmp_path, seed=1).restore()
    assert torch.equal(found.pop("weights"), STATE["weights"])
    assert found == {key: value for key, value in STATE.items() if key != "weights"}
    assert "goes on from there" in capsys.readouterr().out


def test_another_job_begins_anew_and_says_so(tmp_path, capsys):
    job(tmp_path, seed=1).keep(lambda: STATE)
    assert job(tmp_path, seed=2).restore() is None
    assert "begins anew" in capsys.readouterr().out


def test_cpu_seconds_of_the_processes_before_are_counted(tmp_path):
    first, second = Recorder("train", []), Recorder("train", [])
    first.carry(1000)
    Unfinished(tmp_path, {}, first).keep(lambda: STATE)
    before = second.cpu_s()
    Unfinished(tmp_path, {}, second).restore()
    assert second.cpu_s() >= before + 1000


def test_nothing_is_kept_before_it_is_due(tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished, "SECONDS", 3600)
    job(tmp_path).keep(lambda: pytest.fail("asked for its state"))
    assert os.listdir(tmp_path) == []


def test_a_state_that_takes_long_to_write_is_written_less_often(tmp_path, monkeypatch):
    now = iter((0.0, 0.0, 10.0, 14.0, 150.0, 215.0, 216.0))
    monkeypatch.setattr(unfinished.time, "monotonic", lambda: next(now))
    kept, asked = job(tmp_path), []
    for _ in range(3):
        kept.keep(lambda: asked.append(1))
    # made at 0 s, the recorder before it; four seconds of writing, so none for two hundred: at 10 s, not at 150 s, at 215 s
    assert len(asked) == 2


def test_the_end_of_the_job_leaves_nothing(tmp_path):
    kept = job(tmp_path)
    kept.keep(lambda: STATE)
    kept.remove()
    kept.remove()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", None])
def test_a_file_that_is_no_state_is_refused(tmp_path, content):
    path = tmp_path / ".unfinished.pt"
    path.write_bytes(content) if content is not None else torch.save({"state": STATE}, path)
    with pytest.raises(InputError, match=r"\.unfinished\.pt: no state of a job .*Delete it: the job then begins anew"):
        job(tmp_path).restore()


def test_a_pickle_runs_nothing(tmp_path):
    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    torch.save({"made_of": Malicious(), "cpu_s": 0.0, "state": None}, tmp_path / ".unfinished.pt")
    with pytest.raises(InputError, match="no state of a job"):
        job(tmp_path).restore()
    assert not (tmp_path / "owned").exists()


def raising(error):
    def fail(*arguments, **options):
        raise error

    return fail


def test_a_full_disk_is_told_of_and_stops_nothing(tmp_path, capsys):
    """A real one: files of this process may not be larger than the first state."""
    job(tmp_path).keep(lambda: STATE)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        job(tmp_path).keep(lambda: {"weights": torch.zeros(1 << 16)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "no room for the state" in capsys.readouterr().out
    assert os.listdir(tmp_path) == [".unfinished.pt"]
    assert job(tmp_path).restore()["step"] == 3


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: an illegal memory access"), OSError(errno.EIO, "Input/output error")])
def test_what_is_no_full_disk_is_not_taken_for_one(tmp_path, monkeypatch, error):
    monkeypatch.setattr(torch, "save", raising(error))
    with pytest.raises(type(error), match=str(error.args[-1])):
        job(tmp_path).keep(lambda: STATE)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(PermissionError(errno.EACCES, "x"), PermissionError), (RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError)],
)
def test_a_state_that_could_not_be_read_is_not_said_to_be_none(tmp_path, monkeypatch, error, kind):
    job(tmp_path).keep(lambda: STATE)
    monkeypatch.setattr(torch, "load", raising(error))
    with pytest.raises(kind):
        job(tmp_path).restore()
    assert os.listdir(tmp_path) == [".unfinished.pt"]


def test_what_a_kill_in_the_middle_of_a_write_left_is_removed(tmp_path):
    with atomic.replacing(tmp_path / ".unfinished.pt") as temporary:
        (tmp_path / f"{temporary.name[:-4]}x.pt").write_bytes(b"half")
    (tmp_path / ".codes.safetensors.ab12cd34.safetensors").touch()
    (tmp_path / ".unfinished.pt").unlink()
    assert job(tmp_path).restore() is None
    assert os.listdir(tmp_path) == [".codes.safetensors.ab12cd34.safetensors"]


def test_nowhere_keeps_nothing():
    assert NOWHERE.restore() is None
    NOWHERE.keep(lambda: pytest.fail("asked for its state"))
