"""The state of a long loop on disk: killed after hours, the same job goes on from there, and ends with the same bytes as one that was not.

Snakemake removes what a job that was killed had made, before it starts the job again; of this file it does not know. A loop of a
few minutes never writes it, and the end of the job removes it.
"""

import datetime
import errno
import json
import time
from pathlib import Path

import torch

from scalebound.artifacts import atomic
from scalebound.errors import InputError, first_line

SECONDS = 300.0  # of work that may be lost
SHARE = 0.02  # of the time at most goes into writing


class Unfinished:
    """`atomic.UNFINISHED` in `folder`, of the job with the identity `made_of` and the provenance.Recorder `recorder`.

    A state is whatever `torch.load` reads with `weights_only`: tensors, numbers and texts in lists, tuples and dicts.
    """

    def __init__(self, folder, made_of, recorder):
        self.path, self._recorder = Path(folder) / atomic.UNFINISHED, recorder
        self._made_of, self._due = json.dumps(made_of, sort_keys=True), time.monotonic() + SECONDS

    def restore(self):
        """The state that the same job kept last, its tensors on the CPU; None where there is none.

        Raises:
            InputError: the file cannot be read.
        """
        if not self.path.exists():
            return None
        kept = self._read()
        if kept["made_of"] != self._made_of:
            print(f"{self.path}: kept by a job with other inputs, settings or code, so this one begins anew")
            return None
        self._recorder.carry(kept["cpu_s"])
        kept_at = datetime.datetime.fromtimestamp(self.path.stat().st_mtime, datetime.UTC).isoformat(timespec="seconds")
        print(f"{self.path}: goes on from there, which was kept at {kept_at} after {kept['cpu_s']:,.0f} CPU seconds")
        return kept["state"]

    def keep(self, state):
        """Write `state()`, where it is due.

        Raises:
            OSError: the disk is full (ENOSPC).
        """
        if (began := time.monotonic()) >= self._due:
            self._write({"made_of": self._made_of, "cpu_s": self._recorder.cpu_s(), "state": state()})
            ended = time.monotonic()
            self._due = ended + max(SECONDS, (ended - began) / SHARE)

    def remove(self):
        """For the end of the job, when what it makes is there."""
        self.path.unlink(missing_ok=True)

    def _read(self):
        try:
            kept = torch.load(self.path, map_location="cpu", weights_only=True)
            return {key: kept[key] for key in ("made_of", "cpu_s", "state")}
        # whatever is in the file, from bytes that are no archive to a key that is missing: its reader has no error of its own
        except Exception as error:
            raise InputError(self.path, f"no state of a job ({first_line(error)})", "Delete it: the job then begins anew") from None

    def _write(self, kept):
        with atomic.replacing(self.path) as temporary:
            try:
                torch.save(kept, temporary)
            except RuntimeError as error:
                # torch's way to say that it could not write
                raise OSError(errno.ENOSPC, f"No space left on device ({first_line(error)})", str(temporary)) from None


class _Nowhere:
    """For a loop that keeps no state."""

    def restore(self):
        return None

    def keep(self, state):
        pass


NOWHERE = _Nowhere()
