"""The jobs of a finished workspace again, one by one, from their run records."""

import json
import os
import subprocess
import sys

STREAM, RUN, CHECKPOINT = "results/streams/smoke-sources", "results/training/smoke-6k", "results/smoke/smoke-6k"
QUANTIZER, CODED = f"{CHECKPOINT}/quantizers/gptq-4", f"{CHECKPOINT}/quantizers/coded"
# run record of one job of each stage
RECORDS = {
    "fetch-corpus": f"{STREAM}/wheels/run.json",
    "documents": f"{STREAM}/documents.run.json",
    "tokenizer": f"{STREAM}/tokenizer.run.json",
    "tokenize": f"{STREAM}/rows/run.json",
    "train": f"{RUN}/run.json",
    "resolve": f"{CHECKPOINT}/resolve/run.json",
    "sample": f"{CHECKPOINT}/sample/score/run.json",
    "score": f"{CHECKPOINT}/score/run.json",
    "quantize": f"{QUANTIZER}/quantize/run.json",
    "compress": f"{CODED}/encode/run.json",
    "encode": f"{QUANTIZER}/encode/run.json",
    "decode": f"{QUANTIZER}/decode/run.json",
    "bound": f"{QUANTIZER}/bound/run.json",
    "table": "results/smoke/bounds.run.json",
    "score-trajectory": f"{CHECKPOINT}/trajectory/score.run.json",
    "references": f"{CHECKPOINT}/ablations/references.run.json",
    "gap-law": "results/smoke/gap_law.run.json",
    "certify": f"{CODED}/certificate/run.json",
    "certificates": "results/smoke/certificates.run.json",
    "figures": "results/smoke/figures/terms.run.json",
    "resolved-config": "results/smoke/config.run.json",
}

# One process imports torch and all else once; a copy of it runs each job, as the leader of a process group of its own.
# So kills fall into the job's work and not into the imports, where nothing is written, and many jobs take little time.
SERVER = """
import importlib, json, os, pkgutil, signal, sys, time, traceback
from scalebound import cli, commands
from scalebound.models import architecture, loading, training
from scalebound.quantization import whole_model
import datasets, transformers
for module in pkgutil.iter_modules(commands.__path__):
    importlib.import_module(f"scalebound.commands.{module.name}")

def names(folders):
    return {(f, name) for f in folders if os.path.isdir(f) for name in os.listdir(f)}

def job(arguments, log):
    os.setpgid(0, 0)
    for stream in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    status = 99
    try:
        status = cli.main(arguments)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)

def run(arguments, log, kill_after, watch, delay):
    started, before = time.monotonic(), None
    child = os.fork()
    if not child:
        job(arguments, log)
    os.setpgid(child, child)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        late = kill_after is not None and time.monotonic() - started >= kill_after
        if late and before is None:
            before = names(watch)
        if done or (late and (not watch or names(watch) - before)):
            break
        time.sleep(0.0001)
    if not done:
        if delay:
            time.sleep(delay)
        os.killpg(child, signal.SIGKILL)
        done, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), time.monotonic() - started

print("ready", flush=True)
for line in sys.stdin:
    print(json.dumps(run(**json.loads(line))), flush=True)
"""


class Stages:
    """Runs the stages of a workspace, each in a fresh process without its imports, and kills them if told to."""

    def __init__(self, workspace, wheels):
        self.workspace, self.log = workspace, workspace.path("stages.log")
        environment = os.environ | {"PYTHONPATH": str(workspace.path("workflow")), "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "true"}
        # pip takes the wheel from the finished workspace: what is tested is the fetching, not the network
        environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
        command = [sys.executable, "-c", SERVER]
        self.process = subprocess.Popen(command, cwd=workspace.folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def run(self, job, kill_after=None, watch=(), delay=0.0):
        """(exit status, seconds) of the job of a run record.

        It is killed after `kill_after` seconds; with `watch`, as soon as another file is then seen in these folders.
        """
        self.log.write_text("")
        order = {
            "arguments": [job["stage"], *job["arguments"]],
            "log": str(self.log),
            "kill_after": kill_after,
            "watch": [str(f) for f in watch],
            "delay": delay,
        }
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()
