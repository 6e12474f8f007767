"""Files that operating systems, file servers and desktops leave in any folder: nobody's artifact, and read by nobody."""

import os
from fnmatch import fnmatchcase
from pathlib import Path

# in lower case
_NAMES = (
    *(".ds_store", "._*", ".appledouble", ".appledb", ".apdisk", ".localized", ".fseventsd", ".spotlight-v100", ".temporaryitems", ".trashes", "icon\r"),
    *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *(".nfs[0-9a-f]*", ".fuse_hidden*", ".smbdelete*", ".directory", ".trash-*", "lost+found", ".snapshot", ".snapshots", ".zfs", "@eadir", "#recycle"),
)


def is_of_system(name):
    """Whether a file or folder of that name is one that a system leaves."""
    return any(fnmatchcase(name.lower(), pattern) for pattern in _NAMES)


def plain(paths):
    """The paths whose last part is no file of the system: `*.safetensors` finds `._model.safetensors` too."""
    return [path for path in paths if not is_of_system(Path(path).name)]


def files_below(folder):
    """(files, of the system): paths relative to `folder`, sorted, of all files in it, by way of links to folders too.

    What the system leaves is named and not looked into. A link that leads nowhere counts as a file. Raises OSError for
    a folder that cannot be read.
    """
    files, left, seen = [], [], set()
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
        here = Path(place).relative_to(folder)
        left += [(here / name).as_posix() + "/" * (name in folders) for name in (*folders, *names) if is_of_system(name)]
        files += [(here / name).as_posix() for name in plain(names)]
        # a link may lead back: no folder is entered twice
        folders[:] = [name for name in plain(folders) if not _entered(os.path.join(place, name), seen)]
    return sorted(files), sorted(left)


def _entered(folder, seen):
    real = os.path.realpath(folder)
    known = real in seen
    seen.add(real)
    return known


def _raise(error):
    raise error
