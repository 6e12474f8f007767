"""A child process that gets little time and memory."""

import os
import resource
import signal
import sys
from pathlib import Path

import pytest

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited by RLIMIT_AS, which other systems ignore")


def guarded(work, seconds=20, megabytes=1500, limit=resource.RLIMIT_AS):
    """What becomes of `work()` in a child process with little time and memory: "ok", an exception's name, or "killed".

    So many megabytes beside what the process has: of address space, or with RLIMIT_DATA of memory that it can write to.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        outcome = "killed"
        try:
            if "torch" in sys.modules:
                # threads of the parent do not live on in a copy of it, which would wait for them for ever
                sys.modules["torch"].set_num_threads(1)
            pages = int(Path("/proc/self/statm").read_text().split()[0 if limit == resource.RLIMIT_AS else 5])
            most = pages * resource.getpagesize() + megabytes * 2**20
            resource.setrlimit(limit, (most, most))
            used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
            resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, used + seconds))
            signal.alarm(6 * seconds)
            work()
            outcome = "ok"
        except BaseException as error:
            outcome = type(error).__name__
        finally:
            os.write(writer, outcome.encode())
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        outcome = pipe.read().decode() or "killed"
    os.waitpid(child, 0)
    return outcome
