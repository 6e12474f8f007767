"""A line of bench.csv: what was measured, and what it should have been."""

import resource
import sys
import time
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Line:
    """`target` is a comparison with a number, such as "<= 0.1", or empty."""

    name: str
    value: float
    unit: str
    target: str = ""

    @property
    def holds(self):
        """Whether the value is as it should be; None where nothing is asked of it."""
        if not self.target:
            return None
        sign, bound = self.target.split()
        return {"<=": self.value <= float(bound), ">=": self.value >= float(bound)}[sign]


@dataclass
class Measured:
    """Wall and CPU seconds of a block, and the most memory that this process ever had, in bytes."""

    wall: float = 0.0
    cpu: float = 0.0
    peak: int = 0

    def __enter__(self):
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_):
        self.wall, self.cpu, self.peak = time.perf_counter() - self._wall, time.process_time() - self._cpu, peak_memory()


def peak_memory():
    """Bytes of the most memory that this process had. On Linux not by getrusage, which begins with what the process that started it had."""
    if sys.platform == "linux":
        return next(int(line.split()[1]) for line in _lines("/proc/self/status") if line.startswith("VmHWM")) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def machine():
    """The processor and the memory, for the title of a table."""
    name = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "cpu")
    return f"{name}, {psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB"


def _lines(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.readlines()
    except OSError:
        return []


def fastest(works, repetitions, finish=lambda: None, clock=time.perf_counter):
    """{name: least seconds} of {name: work}, in turns, so that what else the machine does falls on all of them."""
    found = dict.fromkeys(works, float("inf"))
    for _ in range(repetitions):
        for name, work in works.items():
            started = clock()
            work()
            finish()
            found[name] = min(found[name], clock() - started)
    return found
