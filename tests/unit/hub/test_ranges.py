"""Ranges of one remote file: the bytes asked for, or an error; never other bytes."""

import io

import numpy as np
import pytest

from scalebound.errors import InputError
from scalebound.hub.ranges import RangeReader, RemoteFile
from scalebound.hub.revisions import list_files

REPO, PATH = "org/data", "big.bin"
DATA = np.random.default_rng(1).bytes(5000)


@pytest.fixture
def identity(hub, waits):
    commits = hub.add_dataset(REPO, {"main": {PATH: DATA}})
    found = list_files(REPO, commits["main"], waits.patience, repo_type="dataset")[PATH]
    hub.clear()
    return {**found, "commit": commits["main"]}


def opened(identity, waits, **changes):
    return RemoteFile(REPO, identity["commit"], {**identity, **changes}, patience=waits.patience)


def test_any_range(hub, identity, waits):
    file = opened(identity, waits)
    for start, stop in [(0, 1), (0, 5000), (4999, 5000), (17, 1234)]:
        assert file.read(start, stop) == DATA[start:stop]
    assert (hub.count("HEAD"), hub.count("GET")) == (1, 4)
    assert file.read(9, 9) == b""
    assert hub.count("GET") == 4


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (0, 5001), (6000, 6001), (5, 4)])
def test_ranges_outside_the_file(hub, identity, waits, start, stop):
    with pytest.raises(InputError, match=r"big.bin: bytes .* of 5000"):
        opened(identity, waits).read(start, stop)
    assert hub.count() == 0


@pytest.mark.parametrize("kind", ["shift", "plain", "cut", "503", "429", "reset"])
def test_other_bytes_are_never_taken(hub, identity, waits, kind):
    hub.fault("GET .*big.bin", kind, times=2)
    assert opened(identity, waits).read(100, 300) == DATA[100:300]
    assert len(waits) == 2
    hub.fault("GET .*big.bin", kind, times=None)
    with pytest.raises(InputError, match=r"no usable answer after 4 attempts"):
        opened(identity, waits).read(100, 300)


@pytest.mark.parametrize(("changes", "message"), [({"size": 4000}, "5000 bytes, the listing says 4000"), ({"sha256": "0" * 64}, "the listing says 0000")])
def test_a_file_that_is_not_the_listed_one(identity, waits, changes, message):
    with pytest.raises(InputError, match=message):
        opened(identity, waits, **changes).read(0, 10)


def test_reading_as_a_file(hub, identity, waits):
    file = RangeReader(opened(identity, waits))
    assert file.read(3) == DATA[:3]
    assert file.seek(-10, io.SEEK_END) == 4990
    assert file.read(100) == DATA[-10:]
    assert file.read(5) == b""
    assert file.seek(-4, io.SEEK_CUR) == 4996
    assert file.tell() == 4996
    assert file.seek(6000) == 6000
    assert file.read(5) == b""
    assert hub.body_bytes("GET .*big.bin") == 13
