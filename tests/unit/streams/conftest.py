"""A hub of its own for each test, connected to this process's client library, with an empty cache."""

from hub_fixtures import home, hub, redirecting_hub, small_disk, waits

__all__ = ["home", "hub", "redirecting_hub", "small_disk", "waits"]
