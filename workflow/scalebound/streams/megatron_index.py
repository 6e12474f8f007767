"""The index (`.idx`) beside Megatron's memory-mapped token files: what its header says, and whether its rows are all alike.

Layout, little-endian: magic `MMIDIDX\\0\\0`, version uint64 (1), type code uint8, sequence count uint64, document count uint64; then
the length of each sequence (int32), the byte offset of each (int64), the first sequence of each document (int64).
"""

import struct

import numpy as np

from scalebound.errors import InputError

_HEADER = struct.Struct("<9sQBQQ")
_MAGIC = b"MMIDIDX\0\0"
TOKEN_TYPES = {8: "<u2", 4: "<i4"}  # by type code
_LOOKED_AT = 1024  # sequences checked at the beginning, and lengths at the end
_REMEDY = "Name a data set of fixed-length rows in Megatron's format, such as Pythia's preshuffled Pile"


def read_index(read, size, where):
    """{"rows", "row_tokens", "token_type"} of an index, from three ranges of about 25 kB (a whole one has gigabytes).

    Args:
        read: function (start, stop) -> bytes.
        size: bytes of the index file.

    Raises:
        InputError: another format, a truncated file, or sequences that are not one behind the other and of one length.
    """
    if size < _HEADER.size:
        raise InputError(where, f"{size} bytes, no index", _REMEDY)
    magic, version, code, rows, documents = _HEADER.unpack(read(0, _HEADER.size))
    if magic != _MAGIC or version != 1:
        raise InputError(where, f"begins with {magic!r}, version {version}", _REMEDY)
    if code not in TOKEN_TYPES:
        raise InputError(where, f"token type code {code}", f"Only uint16 (8) and int32 (4) are read. {_REMEDY}")
    if rows < 1 or size < _HEADER.size + 12 * rows + 8 * documents:
        raise InputError(where, f"{size} bytes do not hold {rows} sequences and {documents} documents", "The index is cut or damaged: fetch it again")
    row_tokens = _check_rows(read, rows, np.dtype(TOKEN_TYPES[code]).itemsize, where)
    return {"rows": rows, "row_tokens": row_tokens, "token_type": TOKEN_TYPES[code]}


def _check_rows(read, rows, token_bytes, where):
    """The one length of the sequences at both ends of the list, whose offsets begin as those of a plain concatenation."""
    looked = min(rows, _LOOKED_AT)
    lengths_end = _HEADER.size + 4 * rows
    first = np.frombuffer(read(_HEADER.size, _HEADER.size + 4 * looked), dtype="<i4")
    # the last lengths and the first offsets lie side by side
    middle = read(lengths_end - 4 * looked, lengths_end + 8 * looked)
    last, offsets = np.frombuffer(middle[: 4 * looked], dtype="<i4"), np.frombuffer(middle[4 * looked :], dtype="<i8")
    row_tokens = int(first[0])
    if row_tokens < 2 or (first != row_tokens).any() or (last != row_tokens).any():
        other = sorted({*map(int, first), *map(int, last)})[:3]
        raise InputError(where, f"sequences of unequal lengths ({', '.join(map(str, other))}, ...)", _REMEDY)
    if (offsets != np.arange(looked) * row_tokens * token_bytes).any():
        raise InputError(where, "its sequences do not lie one behind the other", _REMEDY)
    return row_tokens
