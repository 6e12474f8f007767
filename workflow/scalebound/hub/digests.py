"""Identity of a file as a hub states it: sha256 for large files (LFS), the git blob id (sha1) for small ones."""

import hashlib
from pathlib import Path

CHUNK = 2**20  # bytes


def identity_of(entry):
    """{"path", "size" (bytes), "sha256" or "git_blob"} of an entry of a hub's listing (`RepoFile`)."""
    digest = {"sha256": entry.lfs.sha256.lower()} if entry.lfs else {"git_blob": entry.blob_id.lower()}
    return {"path": entry.path, "size": entry.lfs.size if entry.lfs else entry.size, **digest}


def digest_key(identity):
    """What two files have in common exactly when their bytes are equal, such as `sha256:ab12...`."""
    kind = "sha256" if "sha256" in identity else "git_blob"
    return f"{kind}:{identity[kind]}"


def difference(path, identity):
    """Why the file at `path` is not the one that `identity` describes; None when it is."""
    path = Path(path)
    if not path.is_file():
        return "missing"
    if (size := path.stat().st_size) != identity["size"]:
        return f"{size} bytes, the hub says {identity['size']}"
    kind, found = ("sha256", _hash(path, hashlib.sha256())) if "sha256" in identity else ("git_blob", _git_blob(path))
    return None if found == identity[kind] else f"{kind} {found}, the hub says {identity[kind]}"


def _hash(path, digest):
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _git_blob(path):
    return _hash(path, hashlib.sha1(b"blob %d\0" % path.stat().st_size))
