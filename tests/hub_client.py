"""The real client libraries against a test's own hub and cache: in this process, and in another one by environment."""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
# of linux/prctl.h and linux/capability.h
_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH, _CAP_FOWNER = 1, 2, 3


def connect(monkeypatch, hub, home):
    """Point this process's huggingface_hub, which has read the environment long ago, to `hub` and an empty HF_HOME."""
    import huggingface_hub.file_download
    import huggingface_hub.utils._http as http
    from huggingface_hub import constants

    http.close_session()
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    # whatever the tests were started with
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(home / "agent_harnesses.json"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    # the client's own waits are not what is tested
    for module in (http, huggingface_hub.file_download):
        monkeypatch.setattr(module, "time", SimpleNamespace(**{**vars(module.time), "sleep": lambda seconds: None}))


def environment(hub, home, **more):
    """Variables for another process; `hub` None: nobody answers."""
    endpoint = hub.endpoint if hub else "http://127.0.0.1:9"
    own = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "OMP_NUM_THREADS": "1"}
    own |= {"HF_HUB_OFFLINE": "0"}
    return os.environ | {"PYTHONPATH": str(ROOT / "workflow")} | own | more


def start(code, hub, home, *arguments, preexec_fn=None, **more):
    """A running Python process; `arguments` reach it as JSON in sys.argv[1:]."""
    command = [sys.executable, "-c", code, *map(json.dumps, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment(hub, home, **more), preexec_fn=preexec_fn, text=True, **pipes)


def obey_permissions():
    """For a process that is about to start: even root may not write where the mode of a folder forbids it."""
    if sys.platform.startswith("linux"):
        library = ctypes.CDLL(None)
        for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH, _CAP_FOWNER):
            library.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def run(code, hub, home, *arguments, **more):
    """(exit status, stdout, stderr) of a finished Python process."""
    process = start(code, hub, home, *arguments, **more)
    out, error = process.communicate(timeout=120)
    return process.returncode, out, error


def mount_tmpfs(folder, kilobytes):
    """An empty file system of that size at `folder`; the test is skipped where that is not allowed."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("mounting takes root on Linux")
    tried = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"mount: {tried.stderr.strip()}")


def enlarge_tmpfs(folder, kilobytes):
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", folder], check=True)


def unmount(folder):
    subprocess.run(["umount", folder], check=True)
