"""A SLURM of two nodes on this machine, from Debian's slurm-wlm and munge: started for the tests that need one, and stopped again, process by process."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

CONFIGURATION = Path("/etc/slurm")  # where a job step looks: it drops SLURM_CONF
MUNGE = Path("/run/munge")
DAEMONS = ("munged", "slurmctld", "slurmd")
NODES = {"node1": 16821, "node2": 16822}
MEMORY = 8000  # MB of each node

# memory is watched every second, and a step that takes more than its job may is killed
SETTINGS = """\
ClusterName=scalebound
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=2,bf_interval=2
MinJobAge=900
ReturnToService=2
SlurmdTimeout=60
InactiveLimit=0
KillWait=2
GresTypes=gpu
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
"""


class Slurm:
    """The daemons and where they keep their files; `start` raises Unavailable where this machine cannot have them."""

    def __init__(self, folder):
        self.folder, self.munged, self.links = Path(folder), None, []

    def start(self):
        refuse()
        for name in ("state", *(f"spool/{node}" for node in NODES)):
            self.folder.joinpath(name).mkdir(parents=True)
        self._configure()
        self._start_munged()
        subprocess.run(["slurmctld"], check=True)
        for node in NODES:
            self.start_node(node)
        _wait(lambda: self.states() == dict.fromkeys(NODES, "idle"), "both nodes are idle")
        return self

    def stop(self):
        """Stop what `start` began, jobs and daemons, these by their process ids, and take away the links to its configuration."""
        if self.folder.joinpath("slurmctld.pid").exists() and self.jobs():
            subprocess.run(["scancel", *(job for job, *_ in self.jobs())])
            _wait(lambda: not self.jobs(), "no job is left")
        for name in (*(f"slurmd.{node}" for node in NODES), "slurmctld"):
            self._end(name, signal.SIGTERM)
        if self.munged:
            os.kill(self.munged, signal.SIGTERM)
            _wait(lambda: not _lives(self.munged), "munged ends")
        for link in self.links:
            link.unlink()

    def start_node(self, node):
        subprocess.run(["slurmd", "-N", node], check=True)

    def kill_node(self, node):
        """What a node that loses its power does: its daemon and the jobs on it are gone at once, and nobody is told."""
        lost = {job for job, _, where, _ in self.jobs("RUNNING") if where == node}
        # one that is only being started would be reported as failed
        _wait(lambda: any(map(_children, _keepers_of(lost))), "the jobs have begun")
        self._end(f"slurmd.{node}", signal.SIGKILL)
        for pid in _keepers_of(lost):
            _kill_tree(pid)

    def tell_of(self, node, job):
        """Let SLURM know now that the node is gone, which it finds out in half a minute, and let it start the job again at once, not after two minutes."""
        self._control("update", f"NodeName={node}", "State=DOWN", "Reason=gone")
        _wait(lambda: (job, "PENDING") in {(known, state) for known, state, *_ in self.jobs()}, f"job {job} is queued again")
        self._control("update", f"JobId={job}", "StartTime=now")

    @contextlib.contextmanager
    def held(self):
        """Within it no job begins."""
        nodes = f"NodeName={','.join(self.states())}"
        self._control("update", nodes, "State=DRAIN", "Reason=held")
        try:
            yield
        finally:
            self._control("update", nodes, "State=RESUME")

    def states(self):
        """{node: its state}."""
        said = subprocess.run(["sinfo", "-h", "-N", "-o", "%N %T"], capture_output=True, text=True).stdout
        return dict(line.split() for line in said.splitlines())

    def jobs(self, *states):
        """[(id, state, node, comment)] of jobs that the queue knows in the states; without any, of those that wait or run."""
        wanted = ",".join(states or ("PENDING", "RUNNING", "COMPLETING"))
        said = subprocess.run(["squeue", "-h", "-t", wanted, "-o", "%i|%T|%N|%k"], capture_output=True, text=True, check=True).stdout
        return [tuple(line.split("|")) for line in said.splitlines()]

    def _control(self, *words):
        subprocess.run(["scontrol", *words], check=True)

    def _configure(self):
        nodes = [f"NodeName={node} NodeHostname={{host}} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory={MEMORY} Gres=gpu:1" for node, port in NODES.items()]
        text = SETTINGS + "\n".join(nodes) + "\nPartitionName=all Nodes=ALL Default=YES MaxTime=1-00:00:00 State=UP\n"
        files = {
            "slurm.conf": text.format(host=socket.gethostname().partition(".")[0], folder=self.folder),
            # a device that every machine has stands in for a GPU, so that one can be asked for
            "gres.conf": "AutoDetect=off\nName=gpu File=/dev/null\n",
            "cgroup.conf": "CgroupAutomount=no\n",
        }
        for name, text in files.items():
            self.folder.joinpath(name).write_text(text)
            CONFIGURATION.joinpath(name).symlink_to(self.folder / name)
            self.links.append(CONFIGURATION / name)

    def _start_munged(self):
        if subprocess.run(["munge", "-n"], capture_output=True).returncode == 0:
            return
        MUNGE.mkdir(exist_ok=True)
        shutil.chown(MUNGE, "munge", "munge")
        subprocess.run(["runuser", "-u", "munge", "--", "munged"], check=True)
        self.munged = int(MUNGE.joinpath("munged.pid").read_text())

    def _end(self, name, number):
        place = self.folder / f"{name}.pid"
        if not place.is_file():
            return
        pid = int(place.read_text())
        if _lives(pid):
            os.kill(pid, number)
            _wait(lambda: not _lives(pid), f"{name} ends")
        place.unlink(missing_ok=True)


class Unavailable(Exception):
    """Why there can be no cluster here."""


def refuse():
    """Raises Unavailable where there can be no cluster here, or where there is one that is not ours."""
    if os.name != "posix" or os.geteuid() != 0:
        raise Unavailable("only root can start SLURM's daemons")
    missing = [name for name in DAEMONS if shutil.which(name) is None]
    if missing:
        raise Unavailable(f"{', '.join(missing)} not installed: apt-get install slurm-wlm munge")
    taken = [name for name in ("slurm.conf", "gres.conf", "cgroup.conf") if os.path.lexists(CONFIGURATION / name)]
    if taken:
        raise Unavailable(f"{CONFIGURATION / taken[0]} is somebody's already")


def _keepers_of(jobs):
    """Process ids of the daemons that SLURM keeps for each step of a job, which name it in their titles: `slurmstepd: [7.batch]`."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            title = place.joinpath("cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if title.startswith("slurmstepd: [") and title[13:].partition(".")[0] in jobs:
            found.append(int(place.name))
    return found


def _children(pid):
    try:
        return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    except OSError:
        return []


def _kill_tree(pid):
    """SIGKILL to a process and all that it began, from the top, so that nobody can report an end."""
    children = _children(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    for child in children:
        _kill_tree(child)


def _lives(pid):
    """Whether the process is there and not only waits to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _wait(ready, what, seconds=30):
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds} s it is not yet so that {what}")
        time.sleep(0.1)
