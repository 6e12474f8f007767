"""One job of a run, as the audit expects it."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Job:
    """One job: its artifacts, the artifact that carries the identity of each, its inputs and settings.

    outputs: {path: path of the artifact that holds its identity}. files: {path of a JSON artifact: paths that its
    `files` vouch for}. inputs: {name in the identity: path}. settings: entries that the identity's settings must hold.
    """

    stage: str
    record: str
    log: str
    outputs: dict
    inputs: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)
