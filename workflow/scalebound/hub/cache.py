"""The hub's cache under HF_HOME: taking out a file that is wrong, and what a killed download left."""

import contextlib
import errno
import os
from pathlib import Path

from scalebound.errors import InputError

# it went away meanwhile, or lies where we may not write
_NOT_OURS = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS)


def cache_folder():
    """Where the client keeps what it fetches: HF_HUB_CACHE, or `hub` under HF_HOME."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def repository_folder(repo, repo_type="model"):
    """Folder of a repository in the cache; need not exist."""
    from huggingface_hub.file_download import repo_folder_name

    return cache_folder() / repo_folder_name(repo_id=repo, repo_type=repo_type)


@contextlib.contextmanager
def writable():
    """For whatever writes to the cache. Raises InputError where it may not, or where the cache cannot be made."""
    try:
        yield
    except OSError as error:
        place = Path(error.filename or os.curdir).absolute()
        if error.errno not in (*_NOT_OURS, errno.ENOTDIR) or not _meet(place, cache_folder().absolute()):
            raise
        remedy = "Name a cache of your own by HF_HOME, or let whoever keeps this one fetch the same checkpoint"
        raise InputError(place, f"{os.strerror(error.errno)}: the hub's cache cannot be written", remedy) from None


def _meet(one, other):
    return one.is_relative_to(other) or other.is_relative_to(one)


def drop(path):
    """Remove one cached file: the link in the snapshot and every file that it leads to, so that it is fetched again."""
    chain = [Path(path)]
    while chain[-1].is_symlink():
        chain.append(chain[-1].parent / chain[-1].readlink())
    for place in reversed(chain):
        place.unlink(missing_ok=True)


def remove_partial_downloads(repo, repo_type="model"):
    """Delete `.incomplete` files that a killed process of this user left, which the client never resumes; returns their bytes.

    What is not ours stays, and what is in a cache that we may not write. The lock that a running download holds on each
    blob is tried first, so that another process's file stays.
    """
    folder = repository_folder(repo, repo_type)
    locks, freed = folder.parent / ".locks" / folder.name, 0
    for partial in sorted(filter(_is_ours, (folder / "blobs").glob("*.incomplete"))):
        try:
            freed += _remove(partial, locks / f"{partial.name.split('.')[0]}.lock")
        except OSError as error:
            if error.errno not in _NOT_OURS:
                raise
    return freed


def _remove(partial, lock):
    """Bytes of a partial file that is gone now; 0 while a download holds its lock."""
    from filelock import Timeout
    from huggingface_hub.utils import WeakFileLock

    lock.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(Timeout), WeakFileLock(lock, timeout=0.2):
        size = partial.stat().st_size
        partial.unlink()
        return size
    return 0


def _is_ours(path):
    try:
        return path.stat().st_uid == os.geteuid()
    except OSError:
        # it went away, or may not even be looked at
        return False
