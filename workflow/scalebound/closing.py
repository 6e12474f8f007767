"""The last line of a run: how long it took, on how many cores, and the stages that took most CPU.

It is about the jobs whose records were written since the run began. Snakemake's process imports this at every call: what adds up
is imported only after the last job.
"""

import atexit
import contextlib
import os
import sys
import time

MOST = 3  # stages that are named


class Run:
    """A call of snakemake, from the moment its rules are read."""

    def __init__(self, workflow):
        self.workflow, self.since, self.before = workflow, time.monotonic(), {}

    def begin(self):
        """Remember the run records as they are before the first job."""
        with contextlib.suppress(Exception):
            jobs = [] if self.workflow.touch else self.workflow.dag.needrun_jobs()
            self.before = {path: _stamp(path) for job in jobs if (path := job.output.get("record"))}

    def end(self):
        """Say the line below what snakemake itself has to say of a run that succeeded."""
        if line := self.line():
            atexit.register(_say, line)

    def fail(self):
        """Say it at once: the last word is the error's."""
        if line := self.line():
            _say(line)

    def line(self):
        """The line; None where no job has left a record, or nothing is to be said."""
        try:
            if any(level.name == "ALL" for level in self.workflow.output_settings.quiet or ()):
                return None
            written = [path for path, stamp in self.before.items() if _stamp(path) not in (None, stamp)]
            return self._line(written) if written else None
        except Exception as error:  # a run is not worse for a line that is missing
            return f"What this run took is not known: {' '.join(str(error).split()) or type(error).__name__}"

    def _line(self, paths):
        from scalebound.artifacts.run_records import Cost, add_up, read_record
        from scalebound.counts import short_time
        from scalebound.errors import printable

        records = [(read_record(path), path) for path in paths]
        stages = add_up((record["stage"], Cost.of(record, path)) for record, path in records)
        parts = [(printable(stage), cost.cpu_s) for stage, cost in sorted(stages.items(), key=lambda item: -item[1].cpu_s)]
        if len(parts) > MOST:
            parts[MOST:] = [("others", sum(seconds for _, seconds in parts[MOST:]))]
        total, named = sum(seconds for _, seconds in parts), ", ".join(f"{name} {seconds:,.1f} s" for name, seconds in parts)
        took, jobs = short_time(time.monotonic() - self.since), f"{len(records)} job{'s' * (len(records) > 1)}"
        return f"This run took {took} {self._place()}; its {jobs} took {total:,.1f} s of CPU: {named}"

    def _place(self):
        """Cores as snakemake was given them; it knows none of those that a cluster has."""
        if not self.workflow.local_exec:
            return "with jobs on other machines"
        return f"on {self.workflow.cores} core{'s' * (self.workflow.cores > 1)}"


def _stamp(path):
    """What tells a file from one that is written later under its name, on the clock of its own disk."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _say(line):
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
