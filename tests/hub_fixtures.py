"""Fixtures for tests that talk to a hub: the conftest of a folder imports those that it wants."""

import hub_client
import pytest
from hub_server import HubServer

from scalebound.hub.retrying import Patience


@pytest.fixture
def home(tmp_path):
    """An HF_HOME of the test's own."""
    return tmp_path / "home"


@pytest.fixture
def hub(monkeypatch, home):
    """A hub that this process's client library is connected to."""
    with HubServer() as server:
        hub_client.connect(monkeypatch, server, home)
        yield server


@pytest.fixture
def redirecting_hub(monkeypatch, home):
    """Large files lie behind signed addresses of another host, as on the real hub."""
    with HubServer(redirect=True) as server:
        hub_client.connect(monkeypatch, server, home)
        yield server


class Waits(list):
    """The seconds waited and the lines said; `patience` does not really wait."""

    def __init__(self, attempts=4):
        super().__init__()
        self.lines = []
        self.patience = Patience(attempts=attempts, sleep=self.append, say=self.lines.append)


@pytest.fixture
def waits():
    return Waits()


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts an empty file system of so many kB and gives its folder."""
    mounted = []

    def mount(kilobytes):
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        hub_client.mount_tmpfs(folder, kilobytes)
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        hub_client.unmount(folder)
