"""Branch names that count steps (`step1000`, `stage1-step1000-tokens5B`), and which branches lie near one."""

import difflib
import re

_STEP = re.compile(r"step[-_]?(\d+)")


def step_of(name):
    """The step that a branch name states, or None."""
    match = _STEP.search(name)
    return int(match[1]) if match else None


def neighbours(branches, revision, step):
    """The branches of the next smaller and the next larger saved step, as (name, step); fewer at the ends.

    Only branches of the same series count: `stage2-step1000` is no neighbour of `stage1-step2000`. A revision that
    states no step (`main`) is compared within every series.
    """
    series = _series(revision)
    steps = [(step_of(name), name) for name in branches if step_of(name) is not None and (series is None or _series(name) == series)]
    below = [entry for entry in steps if entry[0] < step]
    above = [entry for entry in steps if entry[0] > step]
    return [(name, number) for number, name in [*([max(below)] if below else []), *([min(above)] if above else [])]]


def near(names, wanted, count=4):
    """Names to suggest for one that does not exist: the nearest steps, or the most similar spellings."""
    step = step_of(wanted)
    if step is not None:
        numbered = sorted((abs(step_of(name) - step), name) for name in names if step_of(name) is not None)
        return [name for _, name in numbered[:count]]
    return difflib.get_close_matches(wanted, sorted(names), n=count, cutoff=0.0)


def _series(name):
    match = _STEP.search(name)
    return name[: match.start()] if match else None
