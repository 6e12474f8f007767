"""A side file of what a long read has fetched so far, so that an interrupted one goes on where it stopped.

Layout: one line of JSON (the key), then records: index uint64, CRC-32 uint32 (little-endian), the bytes of one row.
A record that a killed process left half-written fails its length or checksum; it and all behind it are dropped.
"""

import json
import struct
import zlib
from pathlib import Path

_HEAD = struct.Struct("<QI")


class FinishedRows:
    """Rows of one read, by their index in it; `key` names the read, and a file of another key is thrown away."""

    def __init__(self, path, key, row_bytes):
        self._path, self._row_bytes = Path(path), row_bytes
        self._header = json.dumps(key, sort_keys=True).encode() + b"\n"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self.rows, end = self._load()
        self._file = open(self._path, "r+b" if end else "wb")  # noqa: SIM115 (closed by close)
        if end:
            self._file.truncate(end)
            self._file.seek(end)
        else:
            self._file.write(self._header)

    def add(self, first, rows):
        """Store consecutive rows (a list of bytes) from index `first` on."""
        self._file.write(b"".join(_HEAD.pack(first + k, zlib.crc32(row)) + row for k, row in enumerate(rows)))
        # what the system has survives the death of this process
        self._file.flush()

    def close(self):
        self._file.close()

    def remove(self):
        self.close()
        self._path.unlink(missing_ok=True)

    def _load(self):
        """({index: bytes}, length of the sound part); ({}, 0) where nothing of use is there."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return {}, 0
        if not content.startswith(self._header):
            return {}, 0
        found, place, step = {}, len(self._header), _HEAD.size + self._row_bytes
        while place + step <= len(content):
            index, checksum = _HEAD.unpack_from(content, place)
            row = content[place + _HEAD.size : place + step]
            if zlib.crc32(row) != checksum:
                break
            found[index] = row
            place += step
        return found, place
