"""Only fetching uses the network."""

import json
import os
import shutil
import subprocess
import sys

# every stage but fetch-corpus, each repeated from its run record in one process that can reach nothing
OFFLINE = """
import json, socket, sys
attempts, plain = [], {name: getattr(socket.socket, name) for name in ("connect", "connect_ex", "sendto")}
def guard(name):
    def call(self, *arguments):
        if self.family == getattr(socket, "AF_UNIX", None):
            return plain[name](self, *arguments)
        attempts.append(repr(arguments)[:200])
        raise OSError("the network is off")
    return call
def resolve(*arguments, **_):
    attempts.append(repr(arguments)[:200])
    raise OSError("the network is off")
for name in plain:
    setattr(socket.socket, name, guard(name))
socket.getaddrinfo = resolve
from scalebound import cli
if __name__ == "__main__":
    failed = [arguments[0] for arguments in json.loads(sys.argv[1]) if cli.main(arguments) != 0]
    print(json.dumps({"failed": failed, "attempts": attempts}))
"""


def test_only_fetching_uses_the_network(finished_copy):
    records = sorted(finished_copy.path("results").rglob("*run.json"))
    jobs = {job["stage"]: job for job in map(json.loads, (path.read_text() for path in records)) if job["stage"] != "fetch-corpus"}
    order = [
        "documents",
        "tokenizer",
        "tokenize",
        "train",
        "resolve",
        "history",
        "sample",
        "quantize",
        "compress",
        "encode",
        "decode",
        "score",
        "score-references",
        "price",
    ]
    order += ["bound", "certify", "table", "certificates", "score-trajectory", "bound-trajectory", "trajectory", "heldout", "baseline", "baselines"]
    order += ["references", "ablate", "ablations", "loss-curves", "scaling-law", "information", "gap-law", "overtraining", "along-stream", "online-law"]
    order += ["student", "requential", "seeds", "quantizability", "moments", "spectra", "hessian", "hessian-summary", "hessian-nodes", "figures"]
    commands = [[stage, *jobs[stage]["arguments"]] for stage in order]
    assert set(jobs) == {*order, "resolved-config"}
    before = {name: finished_copy.path(name).read_bytes() for stage in order for name in jobs[stage]["outputs"]}
    commands += [["resolved-config", *jobs["resolved-config"]["arguments"]], ["audit", "results", "--workers", "1"], ["summary"]]
    commands.append(["verify", "results/smoke/smoke-6k/quantizers/coded/certificate", "--device", "cpu"])
    command = [*without_network(), sys.executable, "-c", OFFLINE, json.dumps(commands)]
    environment = os.environ | {"PYTHONPATH": str(finished_copy.path("workflow")), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=finished_copy.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"failed": [], "attempts": []}, done.stderr
    assert [name for name, data in before.items() if finished_copy.path(name).read_bytes() != data] == []


def without_network():
    """For root on Linux a namespace without any interface, so that compiled code can reach nothing either."""
    command = ["unshare", "--net"]
    works = sys.platform.startswith("linux") and shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True).returncode == 0
    return command if works else []
