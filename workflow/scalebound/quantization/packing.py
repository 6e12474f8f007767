"""Unsigned integers of 1 to 8 bits, packed without gaps, least significant bit first (numpy only)."""

import numpy as np

CHUNK = 2**20  # values unpacked at once; a multiple of 8, so that chunks end on whole bytes


def packed_size(count, bits):
    """Bytes that `count` values of `bits` bits take."""
    return -(-count * bits // 8)


def pack(values, bits):
    """Bytes of uint8 `values` (any shape, row-major), each below 2**bits."""
    flat, parts = np.ascontiguousarray(values, dtype=np.uint8).reshape(-1), []
    for start in range(0, flat.size, CHUNK):
        planes = np.unpackbits(flat[start : start + CHUNK, None], axis=1, count=bits, bitorder="little")
        parts.append(np.packbits(planes.reshape(-1), bitorder="little").tobytes())
    return b"".join(parts)


def unpack(data, count, bits):
    """Inverse of `pack`: uint8 [count] from exactly `packed_size(count, bits)` bytes.

    Raises:
        ValueError: wrong number of bytes, or a padding bit that is set (one message, one encoding).
    """
    if len(data) != packed_size(count, bits):
        raise ValueError(f"{len(data)} bytes for {count} values of {bits} bits")
    raw, parts = np.frombuffer(data, dtype=np.uint8), []
    for start in range(0, count, CHUNK):
        piece = raw[start * bits // 8 : packed_size(min(start + CHUNK, count), bits)]
        planes = np.unpackbits(piece, bitorder="little")
        wanted = min(CHUNK, count - start) * bits
        if planes[wanted:].any():
            raise ValueError("padding bits are set")
        parts.append(np.packbits(planes[:wanted].reshape(-1, bits), axis=1, bitorder="little")[:, 0])
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint8)
