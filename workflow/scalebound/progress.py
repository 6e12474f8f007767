"""Progress of long work: a bar on a terminal, whole lines (at most one every few seconds) in a log."""

import sys

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10.0


class _LineWriter:
    """Turns tqdm's carriage returns into lines, so that logs of parallel jobs stay readable."""

    def write(self, text):
        line = text.strip("\r\n ")
        if line:
            sys.stderr.write(line + "\n")

    def flush(self):
        sys.stderr.flush()


def progress(total, unit, description, done=0):
    """A tqdm bar, `done` of whose `total` an earlier process did; `unit_scale` gives rates such as 12.3k tokens/s."""
    bar = {"total": total, "initial": done, "unit": f" {unit}", "unit_scale": True, "desc": description, "dynamic_ncols": True}
    if sys.stderr.isatty():
        return tqdm(**bar)
    layout = "{desc}: {percentage:3.0f}% {n_fmt}/{total_fmt}{unit} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
    # `delay`: work that ends before the first line is due needs no line
    return tqdm(**bar, file=_LineWriter(), mininterval=SECONDS_BETWEEN_LINES, delay=SECONDS_BETWEEN_LINES, miniters=1, ascii=True, bar_format=layout)
