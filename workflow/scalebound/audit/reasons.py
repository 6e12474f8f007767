"""Why jobs would run again: what their results say of themselves against what the configuration and the code say now."""

from collections import Counter

from scalebound.artifacts.code_digest import stage_digest
from scalebound.audit.identities import read_identity
from scalebound.errors import InputError


def reasons(jobs, root):
    """{rule: (jobs, jobs that would run, Counter of the reasons)} for plan.rule.Jobs, each of which stands behind those that it needs.

    A job whose input another one makes again has that for a reason too: it runs if the file changes.
    """
    found, again = {}, {}
    for job in jobs:
        why = _own(job, root) or [f"input from {again[path]}" for path in job.inputs.values() if path in again][:1]
        count, pending, counter = found.get(job.rule, (0, 0, Counter()))
        counter.update(why)
        found[job.rule] = (count + 1, pending + bool(why), counter)
        again |= dict.fromkeys(job.outputs, job.rule) if why else {}
    return found


def _own(job, root):
    missing = [name for name in job.outputs if not (root / name).is_file()]
    if missing:
        return ["not made yet"]
    try:
        identity = read_identity(root / next(iter(job.outputs.values())))
    except InputError:
        return ["its result is damaged"]
    changed = ["code"] if identity.get("code") != stage_digest(job.stage, job.chosen) else []
    changed += [f"setting {key}" for key, value in job.settings.items() if identity["settings"].get(key, value) != value]
    named = {entry.get("path") for entry in identity["inputs"].values()}
    return changed + ([] if named == set(job.inputs.values()) else ["other inputs"])
