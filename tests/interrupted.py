"""A long loop whose process is ended behind one of its states, and the one that takes its place."""

import math

from scalebound.artifacts.provenance import Recorder
from scalebound.models import unfinished


class Ended(BaseException):
    """In place of a SIGKILL."""


class EndedBehind(unfinished.Unfinished):
    """Its process ends when it has kept a number of states."""

    def __init__(self, folder, states):
        super().__init__(folder, {}, Recorder("train", []))
        self.states, self.kept = states, 0

    def keep(self, state):
        super().keep(state)
        self.kept += 1
        if self.kept == self.states:
            raise Ended


def ended_and_resumed(monkeypatch, folder, work, states):
    """(what `work(unfinished)` gives where an earlier process ended behind that many states, the number that it kept itself)."""
    monkeypatch.setattr(unfinished, "SECONDS", 0)
    monkeypatch.setattr(unfinished, "SHARE", math.inf)
    try:
        work(EndedBehind(folder, states))
    except Ended:
        resumed = EndedBehind(folder, math.inf)
        done = work(resumed)
        return done, resumed.kept
    raise AssertionError(f"the loop ended before {states} states")
