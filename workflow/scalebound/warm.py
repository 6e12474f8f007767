"""One process for all jobs of a snakemake call: it imports what they need once, and each job is a copy of it.

Importing torch and transformers takes longer than most jobs. `start` begins a server, which sleeps until it is asked;
`run` lets it do a command in place of this process, with the same words, folder, environment, input and outputs. Whatever is not
exactly the same there is done here: another interpreter or package, files of the package that changed since the server began,
commands that may use the network. Without a server (a cluster, a command by hand) nothing differs but the time.
"""

import ast
import contextlib
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

PLACE = "SCALEBOUND_WORKER"
ROOT = Path(__file__).resolve().parent
_LONGEST = 90  # bytes of a folder in which a socket can be: an address holds 104 on macOS, 108 on Linux, with its name and an end
# of the architecture that Pythia and the ladder have, which transformers imports only when a model is loaded
MODELS = ("transformers.models.gpt_neox.modeling_gpt_neox", "transformers.models.auto.modeling_auto")


def start():
    """Begin a server for this process, which ends with it, and say in the environment where it is."""
    folder = os.path.join(tempfile.gettempdir(), "scalebound-########")
    if PLACE in os.environ or len(os.fsencode(folder)) > _LONGEST:
        return
    place = os.path.join(tempfile.mkdtemp(prefix="scalebound-"), "worker")
    # the standard input is what ties it to this process: it is closed when this process ends, however that is
    # one thread, as snakemake tells its jobs: what a library decides when it is imported must be the same in both
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1") | {"MPLBACKEND": "agg"}
    command = [sys.executable, "-m", "scalebound.warm", place]
    subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, env=environment)
    os.environ[PLACE] = place


def run(argv):
    """The exit status of `scalebound argv`, done by the server; None where it has to be done here."""
    place = os.environ.get(PLACE)
    if not place or not argv:
        return None
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(place)
            message = json.dumps({"argv": argv, "folder": os.getcwd(), "environment": dict(os.environ), "stamp": _stamp()}).encode()
            socket.send_fds(connection, [len(message).to_bytes(8, "big")], [0, 1, 2])
            connection.sendall(message)
            answer = connection.recv(16)
        except OSError:
            return None
    # a server that is gone has not answered: what it had begun leaves nothing half-written, so the job is done again here
    return int(answer) if answer and answer != b"cold" else None


def _stamp():
    """What must be the same for a job of the server to be the job of this process."""
    files = sorted((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in ROOT.rglob("*.py"))
    return [sys.executable, sys.version, [list(file) for file in files]]


class _Server:
    def __init__(self, place):
        self.stamp, self.jobs, self.known = _stamp(), {}, set()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(place)
        self.listener.listen()
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.selector.register(sys.stdin, selectors.EVENT_READ, None)
        # a child that ends wakes the selector
        ends, self.woken = socket.socketpair()
        self.woken.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        ends.setblocking(False)
        signal.set_wakeup_fd(ends.fileno())
        self.ends = ends
        self.selector.register(self.woken, selectors.EVENT_READ, self.reap)

    def serve(self):
        while True:
            for key, _ in self.selector.select():
                if key.data is None:
                    return
                key.data(key.fileobj)

    def accept(self, listener):
        connection, _ = listener.accept()
        try:
            size, files, _, _ = socket.recv_fds(connection, 8, 3)
            request = json.loads(_read(connection, int.from_bytes(size, "big")))
        except (OSError, ValueError):
            connection.close()
            return
        if request["stamp"] == self.stamp:
            self.begin(connection, files, request)
        else:
            connection.sendall(b"cold")
            connection.close()
        for file in files:
            os.close(file)

    def begin(self, connection, files, request):
        self.warm_up(request["argv"][0])
        child = os.fork()
        if child == 0:
            self.become(connection, files, request)
        self.jobs[child] = connection
        # its other end is readable when the process that asked is gone
        self.selector.register(connection, selectors.EVENT_READ, lambda _: self.leave(child))

    def become(self, connection, files, request):
        """The copy of this process that does a job; it never returns."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self.selector.close()
            for held in (self.listener, self.ends, self.woken, connection, *filter(None, self.jobs.values())):
                held.close()
            for number, file in enumerate(files):
                os.dup2(file, number)
                os.close(file)
            os.chdir(request["folder"])
            os.environ.clear()
            os.environ.update(request["environment"] | {"HF_HUB_OFFLINE": "1"})
            sys.argv = ["scalebound", *request["argv"]]
            from scalebound.cli import main

            status = main(request["argv"])
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def leave(self, child):
        """Interrupt the job of a process that is gone: it removes what it has half-written."""
        if self.jobs.get(child) is None:
            # it ended at the same moment
            return
        self.selector.unregister(self.jobs[child])
        self.jobs[child].close()
        self.jobs[child] = None
        os.kill(child, signal.SIGINT)

    def reap(self, woken):
        woken.recv(4096)
        while self.jobs:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                return
            connection = self.jobs.pop(child)
            if connection is not None:
                code = os.waitstatus_to_exitcode(status)
                with contextlib.suppress(OSError):
                    connection.sendall(str(code if code >= 0 else 128 - code).encode())
                self.selector.unregister(connection)
                connection.close()

    def warm_up(self, command):
        """Import what the command and all that it reaches import, at the top of modules and inside functions."""
        from scalebound.artifacts.code_digest import closure

        try:
            names = closure(f"scalebound.commands.{command.replace('-', '_')}") - self.known
        except ModuleNotFoundError:
            return
        wanted = {name for module in names for name in _imported(module)}
        wanted |= set(MODELS) if any(name.split(".")[0] == "transformers" for name in wanted) else set()
        for name in sorted(names | wanted):
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        self.known |= names


def _imported(module):
    """Names of the modules of other packages that a module imports anywhere."""
    place = ROOT.joinpath(*module.split(".")[1:])
    path = place.with_suffix(".py") if place.with_suffix(".py").is_file() else place / "__init__.py"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.module.startswith("scalebound"):
            yield node.module


def _read(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise OSError("the message ended early")
        data += piece
    return data


if __name__ == "__main__":
    # read by the hub's client when it is imported, here once for all: commands that may connect do not come here
    os.environ["HF_HUB_OFFLINE"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _Server(sys.argv[1]).serve()
    os.unlink(sys.argv[1])
    os.rmdir(os.path.dirname(sys.argv[1]))
