"""The state of a long loop on disk: where its process was killed, the same job goes on from there instead of beginning anew.

On one machine it ends with the same bytes as a job that was never killed. Snakemake removes what a killed job had made before it
starts the job again; of this file it does not know. `arguments.unfinished` of a command (cli.py) makes one, and the end of the command,
when its run record is written, removes it.
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
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
            InputError: what is in the file is no state.
        """
        self._remove_half_written()
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
        """Write `state()`, where it is due. A full disk is told of and stops nothing: what the job makes does not need the file."""
        if (began := time.monotonic()) < self._due:
            return
        try:
            self._write({"made_of": self._made_of, "cpu_s": self._recorder.cpu_s(), "state": state()})
        except OSError as error:
            if error.errno not in _FULL:
                raise
            print(f"notice: {self.path}: no room for the state of the job, which begins anew if it is killed")
        ended = time.monotonic()
        self._due = ended + max(SECONDS, (ended - began) / SHARE)

    def remove(self):
        """For the end of the job, when all that it makes is there."""
        self.path.unlink(missing_ok=True)
        self._remove_half_written()

    def _remove_half_written(self):
        """Left by a kill in the middle of a write, and as large as a state. No other job works in the folder."""
        for left in self.path.parent.glob(f".{self.path.name}.*"):
            left.unlink(missing_ok=True)

    def _read(self):
        try:
            kept = torch.load(self.path, map_location="cpu", weights_only=True)
            return {key: kept[key] for key in ("made_of", "cpu_s", "state")}
        except (OSError, MemoryError):
            # says nothing of what is in the file
            raise
        # from bytes that are no archive to a key that is missing: torch has no error of its own for them
        except Exception as error:
            if "alloc" in str(error):
                raise MemoryError(first_line(error)) from None
            raise InputError(self.path, f"no state of a job ({first_line(error)})", "Delete it: the job then begins anew") from None

    def _write(self, kept):
        with atomic.replacing(self.path) as temporary:
            try:
                torch.save(kept, temporary)
            except RuntimeError as error:
                # how torch says that not all of it could be written
                if "inline_container" not in str(error) and "PytorchStreamWriter" not in str(error):
                    raise
                raise OSError(errno.ENOSPC, "No space left on device", str(temporary)) from None


class _Nowhere:
    """For a loop that keeps no state."""

    def restore(self):
        return None

    def keep(self, state):
        pass


NOWHERE = _Nowhere()
