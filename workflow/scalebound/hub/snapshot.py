"""Files of a resolved checkpoint in the hub's cache: fetched by commit, every byte verified, found again without network."""

import errno
import glob
import os
from pathlib import Path

from scalebound.errors import InputError
from scalebound.hub import cache
from scalebound.hub.digests import difference
from scalebound.hub.download_bar import download_bar
from scalebound.hub.retrying import PATIENCE, BrokenAnswer, first_line, retry
from scalebound.hub.revisions import list_files
from scalebound.hub.weight_files import shards_of

CONNECTIONS = 4
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


@cache.writable()
def fetch(resolved, patience=PATIENCE):
    """Bring the files of `resolve_revision`'s answer into HF_HOME and verify them (network).

    Each file must have the size and digest that were resolved; a wrong one is taken out of the cache and fetched
    once more. Then the hub is asked again whether it still lists what was resolved. Each file is read once, if it is right.

    Returns:
        {"folder", "files", "bytes", "refetched", "freed_bytes"}: the snapshot's folder, the resolved files, their
        total size, paths that were wrong at first, bytes of partial downloads that a killed process had left.

    Raises:
        InputError: the hub does not answer, or delivers other bytes twice; the cache is not ours to write.
        OSError: the disk is full (ENOSPC); what is already fetched stays.
    """
    repo, commit, files = resolved["repo"], resolved["commit"], resolved["files"]
    where = f"{repo} at {commit[:12]}"
    freed = cache.remove_partial_downloads(repo)
    folder = _download(where, repo, commit, files, patience)
    wrong = _differences(folder, files)
    for path, problem in wrong.items():
        patience.say(f"{where}: {path}: {problem}; fetching it again")
        cache.drop(folder / path)
    if wrong:
        _download(where, repo, commit, files, patience)
        _refuse_wrong(where, folder, _differences(folder, [file for file in files if file["path"] in wrong]))
    _check_index(folder, resolved, where)
    _check_listing(where, repo, commit, files, patience)
    return {
        "folder": str(folder),
        "files": files,
        "bytes": sum(file["size"] for file in files),
        "refetched": sorted(wrong),
        "freed_bytes": freed,
    }


def offline_folder(repo, commit, names):
    """Folder of a fetched snapshot, without any connection, also under HF_HUB_OFFLINE=1.

    Raises:
        InputError: the cache does not hold all `names` of that commit.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    remedy = "Run the fetch stage again with network, with the HF_HOME that this stage has"
    try:
        folder = Path(snapshot_download(repo, revision=commit, allow_patterns=_exactly(names), local_files_only=True))
    except LocalEntryNotFoundError:
        raise InputError(f"{repo} at {commit}", f"not complete in the cache {cache.repository_folder(repo)}", remedy) from None
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{repo} at {commit}", f"{missing[0]} is not in the cache {folder}", remedy)
    return folder


def _download(where, repo, commit, files, patience):
    from huggingface_hub import snapshot_download

    names = [file["path"] for file in files]

    def action():
        try:
            wanted = {"revision": commit, "allow_patterns": _exactly(names)}
            folder = Path(snapshot_download(repo, **wanted, max_workers=CONNECTIONS, tqdm_class=download_bar))
        except RuntimeError as error:
            _raise_xet(error)
        # an unreachable hub makes the client return whatever part of the snapshot is there
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise BrokenAnswer(f"{missing[0]} did not arrive")
        return folder

    return retry(action, where, patience)


def _raise_xet(error):
    """hf_xet, through which the real hub's large files come, reports every failure of network and disk as RuntimeError."""
    for number in _OF_THE_DISK:
        if os.strerror(number) in str(error):
            raise OSError(number, os.strerror(number), str(cache.cache_folder())) from error
    raise BrokenAnswer(first_line(error)) from error


def _exactly(names):
    """Patterns that match these names and no other."""
    return [glob.escape(name) for name in names]


def _differences(folder, files):
    """{path: what is wrong with it}, in order."""
    found = {file["path"]: difference(folder / file["path"], file) for file in files}
    return {path: problem for path, problem in found.items() if problem}


def _refuse_wrong(where, folder, wrong):
    for path in wrong:
        # a later run must not take it for fetched
        cache.drop(folder / path)
    for path, problem in wrong.items():
        raise InputError(
            f"{where}: {path}", f"delivered twice with wrong bytes: {problem}", "The hub, a mirror or a proxy damages files: fetch from another one"
        )


def _check_index(folder, resolved, where):
    """The shards that the index names are those that were resolved and verified."""
    for path in (file["path"] for file in resolved["files"] if file["path"].endswith(".index.json")):
        weights = sorted(resolved["weights"])
        if shards_of((folder / path).read_bytes(), resolved["format"], weights, f"{where}: {path}") != weights:
            raise InputError(f"{where}: {path}", "names fewer files than were resolved", "Resolve the checkpoint again")


def _check_listing(where, repo, commit, files, patience):
    """The hub still lists sizes and digests that were resolved, and that the files were found to have."""
    listed = list_files(repo, commit, patience)
    wrong = [file["path"] for file in files if listed.get(file["path"]) != file]
    if wrong:
        raise InputError(f"{where}: {wrong[0]}", "as it was resolved, but the hub now lists another file", "Resolve the checkpoint again")
