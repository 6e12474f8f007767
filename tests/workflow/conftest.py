"""One process for all tests that repeat single jobs: heavy imports take longer than the jobs."""

import pytest
from stages import STREAM, Stages


@pytest.fixture(scope="session")
def stages(finished, tmp_path_factory):
    """A copy of the finished workspace in which jobs can be repeated; a test puts back what it changes."""
    made = Stages(finished.copy(tmp_path_factory.mktemp("stages") / "workspace"), finished.path(f"{STREAM}/wheels"))
    yield made
    made.close()
