"""The hub's cache under HF_HOME: taking out a file that is wrong, and what a killed download left."""

import contextlib
from pathlib import Path


def cache_folder():
    """Where the client keeps what it fetches: HF_HUB_CACHE, or `hub` under HF_HOME."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def repository_folder(repo, repo_type="model"):
    """Folder of a repository in the cache; need not exist."""
    from huggingface_hub.file_download import repo_folder_name

    return cache_folder() / repo_folder_name(repo_id=repo, repo_type=repo_type)


def drop(path):
    """Remove one cached file: the link in the snapshot and every file that it leads to, so that it is fetched again."""
    chain = [Path(path)]
    while chain[-1].is_symlink():
        chain.append(chain[-1].parent / chain[-1].readlink())
    for place in reversed(chain):
        place.unlink(missing_ok=True)


def remove_partial_downloads(repo, repo_type="model"):
    """Delete `.incomplete` files that a killed process left, which the client never resumes; returns their bytes.

    The lock that a running download holds on each blob is tried first, so that another process's file stays.
    """
    from filelock import Timeout
    from huggingface_hub.utils import WeakFileLock

    folder = repository_folder(repo, repo_type)
    locks, freed = folder.parent / ".locks" / folder.name, 0
    for partial in sorted((folder / "blobs").glob("*.incomplete")):
        blob = partial.name.split(".")[0]
        locks.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(Timeout, FileNotFoundError), WeakFileLock(locks / f"{blob}.lock", timeout=0.2):
            size = partial.stat().st_size
            partial.unlink()
            freed += size
    return freed
