"""One zip of many files whose bytes follow from their names and contents alone, and which is read without trust.

Nothing in it is compressed: deflate's output differs between builds of zlib, what is large here hardly shrinks, and an entry
that is stored cannot unfold to more than it is. SHA256SUMS in it lists all else.
"""

import contextlib
import errno
import hashlib
import io
import stat
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from scalebound.artifacts import atomic, checksums
from scalebound.artifacts.provenance import file_sha256
from scalebound.errors import InputError, first_line
from scalebound.progress import progress

ENDING = ".zip"
REMEDY = checksums.REMEDY
BLOCK = 2**20
MAX_FILES = 100_000
MAX_NAME = 1000
MAX_LIST_BYTES = 2**26
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # a zip knows no earlier one
_UNIX = 3
_PLAIN = stat.S_IFREG | 0o644
# what zipfile raises for archives that are damaged in one way or another, encrypted, or named in no known encoding
_DAMAGE = (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError, OverflowError, struct.error)


def write(path, files):
    """Write {name in the archive: file} and the list of their digests to `path`; returns {name: sha256}.

    Raises:
        InputError: a name that cannot be unpacked everywhere, or a file that changes meanwhile.
    """
    _check_names([*files, checksums.NAME], path, "Rename the file")
    digests = {name: file_sha256(file) for name, file in files.items()}
    sums = checksums.text_of(digests).encode()
    total = sum(Path(file).stat().st_size for file in files.values())
    with atomic.replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive, progress(total, "B", "writing the archive") as bar:
        for name in sorted([*files, checksums.NAME]):
            with io.BytesIO(sums) if name == checksums.NAME else open(files[name], "rb") as file:
                found = _add(archive, name, file, bar)
            if digests.get(name, found) != found:
                raise InputError(files[name], "changed while it was written to the archive", "Wait until no job is running, then run the same command again")
    return digests


def _add(archive, name, file, bar):
    """Append one entry that says nothing of this machine; returns the sha256 of its content."""
    entry = zipfile.ZipInfo(name, _FIRST_DAY)
    entry.create_system, entry.external_attr, entry.compress_type = _UNIX, _PLAIN << 16, zipfile.ZIP_STORED
    entry.file_size = file.seek(0, io.SEEK_END)
    file.seek(0)
    with archive.open(entry, "w") as target:
        return _copy(file, target, bar)


def _copy(source, target, bar):
    digest = hashlib.sha256()
    while block := source.read(BLOCK):
        digest.update(block)
        target.write(block)
        bar.update(len(block))
    return digest.hexdigest()


@contextlib.contextmanager
def unpacked(path):
    """Yield (folder, {name: sha256}) of an archive's files in a temporary folder, each as SHA256SUMS says; it is gone afterwards.

    Raises:
        InputError: no archive of `write`: damaged, compressed, with a name that leads elsewhere, or with other files than SHA256SUMS lists.
    """
    with tempfile.TemporaryDirectory(prefix="scalebound-") as folder:
        with _naming(path):
            digests = _unpack(path, Path(folder))
        listed = digests.pop(checksums.NAME, None)
        if listed is None:
            raise InputError(path, f"no {checksums.NAME} in it", f"Give an archive of `scalebound release`, or the whole of it. {REMEDY}")
        checksums.check(checksums.read_sums((Path(folder) / checksums.NAME).read_bytes(), path), digests, path)
        yield Path(folder), digests


def _unpack(path, folder):
    """{name: sha256} of all entries, written below `folder`; nothing is written before all of them have been looked at."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        _check_entries(entries, path)
        digests, total = {}, sum(entry.file_size for entry in entries)
        with progress(total, "B", "unpacking and checking sha256") as bar:
            for entry in entries:
                target = folder / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, open(target, "xb") as file:
                    digests[entry.filename] = _copy(source, file, bar)
                if target.stat().st_size != entry.file_size:
                    raise InputError(path, f"{entry.filename} ends early", REMEDY)
    return digests


def _check_entries(entries, path):
    """Refuse what `write` does not make. Stored entries that overlap would unfold too: their sizes must fit into the file."""
    if len(entries) > MAX_FILES:
        raise InputError(path, f"{len(entries)} files in it, at most {MAX_FILES} are read", REMEDY)
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise InputError(path, f"{entry.filename!r} in it is compressed", "An archive of scalebound is not: unpack this one, and give the folder")
        if entry.filename != entry.orig_filename or entry.is_dir() or kind not in (0, stat.S_IFREG) or entry.flag_bits & 1:
            raise InputError(path, f"{entry.orig_filename!r} in it is no plain file", REMEDY)
        if entry.filename == checksums.NAME and entry.file_size > MAX_LIST_BYTES:
            raise InputError(path, f"{checksums.NAME} in it has {entry.file_size} bytes", REMEDY)
    if sum(entry.file_size for entry in entries) > Path(path).stat().st_size:
        raise InputError(path, "its files are larger than itself", REMEDY)
    _check_names([entry.filename for entry in entries], path, REMEDY)


def _check_names(names, path, remedy):
    """Every name is a path below the folder, and no two are one on a disk that does not tell upper from lower case."""
    taken = set()
    for name in names:
        if len(name) > MAX_NAME or not all(map(_is_plain, name.split("/"))):
            raise InputError(path, f"{name[:MAX_NAME]!r} in it is no name that can be unpacked everywhere", remedy)
        if name.casefold() in taken:
            raise InputError(path, f"{name!r} is in it twice", remedy)
        taken.add(name.casefold())
    for name in names:
        inside = [parent for parent in PurePosixPath(name.casefold()).parents if str(parent) in taken]
        if inside:
            raise InputError(path, f"{inside[0]} in it is a file and a folder", remedy)


def _is_plain(part):
    return part not in ("", ".", "..") and part.isprintable() and not set(part) & set('\\:*?"<>|') and len(part.encode()) <= 255


@contextlib.contextmanager
def _naming(path):
    """What is wrong with an archive is said of it, whatever zipfile says."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(path, "no such file", "Correct the path") from None
    except _DAMAGE as error:
        raise InputError(path, f"not a readable archive ({first_line(error)})", REMEDY) from None
    except OSError as error:  # a place before the start of the file
        if error.errno != errno.EINVAL:
            raise
        raise InputError(path, "not a readable archive (it names places outside of itself)", REMEDY) from None
