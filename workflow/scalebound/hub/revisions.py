"""From a branch name to an identity: a 40-hex commit, the files to take, their digests, and a look for wrong branches.

A branch name is no identity. Dozens of branches of `pythia-2.8b` serve the weights of the end of training under the
name of an early step (EleutherAI/pythia issues 195, 205, 206, 83). Two different steps of one run never have an equal weight
file, so a shared one shows that a branch is wrong.
"""

import re
from fnmatch import fnmatchcase
from pathlib import Path

from scalebound.errors import InputError
from scalebound.hub import branches, cache
from scalebound.hub.digests import difference, digest_key, identity_of
from scalebound.hub.retrying import PATIENCE, BrokenAnswer, retry
from scalebound.hub.weight_files import CONFIG, TOKENIZER_FILES, choose_format, is_weight_file, shards_of

# Revisions of Pythia that are equal by right: nothing was learned at a learning rate of 0 (issue 83); `main` is the last step.
KNOWN_EQUAL = {"EleutherAI/pythia-*": (("step0", "step1"), ("main", "step143000"))}
BIN_NOTICE = "no safetensors at this revision: pytorch_model.bin is taken, and read by torch's weights_only loader alone"
UNCOMPARED_NOTICE = "no other revision has weights in a common format: nothing shows that this one is of its step, nor that it is not"
_COMMIT = re.compile(r"[0-9a-f]{40}")


def resolve_revision(repo, revision, step, known_equal=(), witnesses=(), patience=PATIENCE):
    """Fix what `revision` of a model repository is, and refuse it when it carries the weights of another step (network).

    Args:
        step: optimizer step that the revision is taken for; a number in its name must agree.
        known_equal: pairs of revisions that may share weights, beside those of KNOWN_EQUAL.
        witnesses: further revisions to compare with; `main` and the two neighbouring saved steps always are.

    Returns:
        {"repo", "revision", "step", "commit", "format", "weights", "notice", "files", "compared_with"}: `files` are
        {"path", "size", "sha256" or "git_blob"}, sorted; `weights` the paths of the weight files among them; `notice`
        is None or what a user should be told; `compared_with` one {"revision", "step", "commit", "comparable"} for each other revision
        (`comparable` is false where the two have no weight format in common, so that nothing can be said).

    Raises:
        InputError: no such repository or revision (with near ones), no weights, weights shared with another step.
    """
    where = f"{repo} at {revision}"
    _check_step(where, revision, step)
    commits = _commits_by_revision(repo, patience)
    commit = _commit(where, revision, commits)
    files = list_files(repo, commit, patience)
    chosen = _choose(where, repo, commit, files, patience)
    others = [other for other in _others(revision, step, commits, witnesses, where) if revision != commits[other[0]]]
    compared = [_compare(repo, (revision, step, files), other, commits, known_equal, patience) for other in others]
    notices = [BIN_NOTICE] * (chosen["format"] == "bin") + [UNCOMPARED_NOTICE] * (not any(other["comparable"] for other in compared))
    notice = "; ".join(notices) or None
    return {"repo": repo, "revision": revision, "step": step, "commit": commit, **chosen, "notice": notice, "compared_with": compared}


def list_files(repo, commit, patience=PATIENCE, repo_type="model", recursive=False):
    """{path: identity} of the files of a commit: of its root, or of every folder when `recursive`."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    def action():
        return list(HfApi().list_repo_tree(repo, revision=commit, repo_type=repo_type, recursive=recursive))

    entries = retry(action, f"{repo} at {commit[:12]}", patience)
    return {entry.path: identity_of(entry) for entry in entries if isinstance(entry, RepoFile)}


def commit_of(repo, revision, patience=PATIENCE, repo_type="model"):
    """The 40-hex commit of a branch, tag or commit. Raises InputError, with near revisions, when there is none."""
    if _COMMIT.fullmatch(revision):
        return revision
    return _commit(f"{repo} at {revision}", revision, _commits_by_revision(repo, patience, repo_type))


def _check_step(where, revision, step):
    stated = branches.step_of(revision)
    if stated is not None and stated != step:
        raise InputError(where, f"the name states step {stated}, the table step {step}", "Correct the row of the table of checkpoints")


def _commits_by_revision(repo, patience, repo_type="model"):
    """{branch or tag: commit}, from one request; what the hub converted has its full name, `refs/convert/parquet`."""
    from huggingface_hub import HfApi

    refs = retry(lambda: HfApi().list_repo_refs(repo, repo_type=repo_type), repo, patience)
    named = {ref.name: ref.target_commit for ref in [*refs.tags, *refs.branches]}
    return {**{ref.ref: ref.target_commit for ref in refs.converts}, **named}


def _commit(where, revision, commits):
    if _COMMIT.fullmatch(revision):
        return revision
    if revision not in commits:
        suggestions = branches.near(commits, revision)
        remedy = f"Near ones: {', '.join(suggestions)}" if suggestions else "The repository has no branches"
        raise InputError(where, f"no such revision among {len(commits)} branches and tags", remedy)
    return commits[revision]


def _choose(where, repo, commit, files, patience):
    """The files to take, as the fields of the result that describe them."""
    weight_format, single, index = choose_format(files, where)
    weights = [single] if single else shards_of(_read_small(repo, commit, files[index], patience), weight_format, files, f"{where}: {index}")
    taken = sorted({*weights, *([index] if index else []), CONFIG, *(name for name in TOKENIZER_FILES if name in files)})
    return {
        "format": weight_format,
        "weights": weights,
        "files": [files[path] for path in taken],
    }


@cache.writable()
def _read_small(repo, commit, identity, patience):
    """Checked bytes of one small file, through the cache."""
    from huggingface_hub import hf_hub_download

    def action():
        path = hf_hub_download(repo, identity["path"], revision=commit)
        if problem := difference(path, identity):
            cache.drop(path)
            raise BrokenAnswer(problem)
        return Path(path).read_bytes()

    return retry(action, f"{repo} at {commit[:12]}: {identity['path']}", patience)


def _others(revision, step, commits, witnesses, where):
    """[(revision, step or None)] to compare with: `main`, the neighbours, the witnesses; each once, never itself."""
    unknown = [name for name in witnesses if name not in commits]
    if unknown:
        raise InputError(where, f"no such witness revision {unknown[0]!r}", f"Near ones: {', '.join(branches.near(commits, unknown[0]))}")
    named = [("main", None)] if "main" in commits else []
    named += [*branches.neighbours(commits, revision, step), *((name, branches.step_of(name)) for name in witnesses)]
    return [(name, number) for name, number in dict(named).items() if name != revision and number != step]


def _compare(repo, own, other, commits, known_equal, patience):
    """What was compared with one other revision. Raises InputError when both hold one weight file and are not known to be equal."""
    (revision, step, files), (name, number) = own, other
    theirs = list_files(repo, commits[name], patience)
    shared = _weight_digests(files) & _weight_digests(theirs)
    if shared and not is_known_equal(repo, revision, name, known_equal):
        found = f"{len(shared)} weight file(s) of step {step} are also those of {name}" + ("" if number is None else f" (step {number})")
        remedy = f"One of {revision} and {name} is a wrong upload: name another step or repository, or list the pair as known to be equal"
        raise InputError(f"{repo} at {revision}", f"{found}: {min(shared)}", remedy)
    comparable = bool(_weight_suffixes(files) & _weight_suffixes(theirs))
    return {"revision": name, "step": number, "commit": commits[name], "comparable": comparable}


def is_known_equal(repo, one, other, known_equal=()):
    """Whether two revisions may share weights: by the given pairs or by KNOWN_EQUAL."""
    pairs = [*known_equal, *(pair for pattern, listed in KNOWN_EQUAL.items() if fnmatchcase(repo, pattern) for pair in listed)]
    return any({one, other} == set(pair) for pair in pairs)


def _weight_digests(files):
    return {digest_key(identity) for path, identity in files.items() if is_weight_file(path)}


def _weight_suffixes(files):
    return {path.rsplit(".", 1)[1] for path in files if is_weight_file(path)}
