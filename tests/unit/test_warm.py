"""The worker of a run is only begun where a socket of it can be."""

import os
import tempfile

from scalebound import warm


def test_a_long_folder_for_temporary_files_holds_no_socket(tmp_path, monkeypatch):
    """No worker, no left-over: jobs import for themselves."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.delenv(warm.PLACE, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(warm.subprocess, "Popen", lambda *_, **__: (_ for _ in ()).throw(AssertionError("started")))
    warm.start()
    assert warm.PLACE not in os.environ
    assert list(folder.iterdir()) == []
