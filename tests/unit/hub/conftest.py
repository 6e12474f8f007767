"""A hub of its own for each test, connected to this process's client library, with an empty cache."""

import hub_client
import pytest
from hub_server import HubServer

from scalebound.hub.retrying import Patience


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def hub(monkeypatch, home):
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
