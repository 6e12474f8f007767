"""`model.sbq`: one message from which a quantized model is rebuilt bit for bit, given only its architecture.

Layout, all integers little endian:

    4 bytes   magic "SBQ1" (the format's version is its last character), "SBQ3" where a parameter lies in a basis of its own
    16 bytes  architecture id
    4 bytes   SBQ3 only: seed of the bases (rotation.py)
    per parameter, in the architecture's order:
        1 byte    bits per code, 1 to 8; SBQ3: 128 is added where the codes are those of the matrix in its random basis
        4 bytes   group: columns per scale
        scales    float16 [rows, groups]
        zeros     packed integers of that many bits [rows, groups]
        codes     packed integers of that many bits [rows, columns]
    4 bytes   CRC-32 of everything before it

Names and shapes are not in the message: the architecture fixes them before any data is seen. numpy only.
"""

import contextlib
import functools
import struct
import zlib
from collections.abc import Mapping

import numpy as np

from scalebound.errors import InputError
from scalebound.quantization.integers import IntegerTensor, check, matrix_view
from scalebound.quantization.packing import pack, packed_size, unpack
from scalebound.quantization.rate import message as rate_message

MAGIC, MAGIC_ROTATED = b"SBQ1", b"SBQ3"
CODE_STAGES = ("encode", "compress")  # the stages that write a message
_PARAMETER, _SEED = struct.Struct("<BI"), struct.Struct("<I")
_ROTATED = 128


def encode(tensors, architecture):
    """(message, {parameter name: bits it takes}) of {parameter name: IntegerTensor}."""
    parts = []
    sizes = write(parts.append, tensors, architecture)
    return b"".join(parts), sizes


def write(put, tensors, architecture):
    """Give the message to `put(bytes)`, a parameter at a time; {parameter name: bits it takes}."""
    checksum, sizes, seed = 0, {}, _checked_seed(tensors, architecture)
    for name, piece in _pieces(tensors, architecture, seed):
        checksum = zlib.crc32(piece, checksum)
        if name is not None:
            sizes[name] = 8 * len(piece)
        put(piece)
    put(struct.pack("<I", checksum))
    return sizes


def _pieces(tensors, architecture, seed):
    """(None, the header), then (name, bytes) of each parameter."""
    identifier = bytes.fromhex(architecture["id"])
    yield None, MAGIC + identifier if seed is None else MAGIC_ROTATED + identifier + _SEED.pack(seed)
    for parameter in architecture["parameters"]:
        tensor = tensors[parameter["name"]]
        piece = _PARAMETER.pack(tensor.bits | (0 if tensor.seed is None else _ROTATED), tensor.group) + tensor.scales.astype("<f2").tobytes()
        yield parameter["name"], piece + pack(tensor.zeros, tensor.bits) + pack(tensor.codes, tensor.bits)


def decode(message, architecture, where="model.sbq"):
    """{parameter name: IntegerTensor} of a message; of an entropy-coded one (SBQ2, rate/message.py), {name: CodedTensor}.

    Raises:
        InputError: not such a message, of another architecture, truncated, altered, or with bytes left over.
    """
    return dict(opened(message, architecture, where))


def opened(message, architecture, where="model.sbq"):
    """What `decode` returns, but each tensor of a fixed grid is unpacked, and checked, when it is asked for."""
    is_coded = message[:4] == rate_message.MAGIC
    return rate_message.decode(message, architecture, where) if is_coded else Message(message, architecture, where)


class Message(Mapping):
    """{parameter name: IntegerTensor} of a message, whose lengths and checksum are right. Raises InputError as `decode` does."""

    def __init__(self, message, architecture, where):
        body = _checked_body(memoryview(message), architecture, where)
        place, seed = len(MAGIC) + 16, None
        if body[:4] == MAGIC_ROTATED:
            (seed,), place = _SEED.unpack_from(body, place), place + _SEED.size
        self._readers, self._where, rotated = {}, where, False
        for parameter in architecture["parameters"]:
            with self._readable(parameter["name"]):
                layout, place = _layout(body, place, parameter, seed)
            self._readers[parameter["name"]] = functools.partial(_read_parameter, body, *layout)
            rotated |= layout[-1] is not None
        if place != len(body):
            raise InputError(where, f"{len(body) - place} bytes left over", "Encode the model again")
        if seed is not None and not rotated:
            raise InputError(where, f"{MAGIC_ROTATED!r} without a parameter in a basis of its own", "Encode the model again")

    @contextlib.contextmanager
    def _readable(self, name):
        try:
            yield
        except (ValueError, struct.error) as error:
            raise InputError(self._where, f"{name} is unreadable ({error})", "Encode the model again") from None

    def __getitem__(self, name):
        read = self._readers[name]
        with self._readable(name):
            return read()

    def __iter__(self):
        return iter(self._readers)

    def __len__(self):
        return len(self._readers)


def code_length_bits(n_bytes):
    """Length in bits of the self-delimiting message: 8 n + 2 ceil(log2(8 n + 1)) + 1 (theory: section 7)."""
    bits = 8 * n_bytes
    return bits + 2 * bits.bit_length() + 1  # bit_length is ceil(log2(bits + 1)) without rounding


def _checked_seed(tensors, architecture):
    """The seed of all bases, None where there are none. Raises InputError when there are several, or tensors that are no such parameters."""
    seeds = {}
    for parameter in architecture["parameters"]:
        tensor = tensors[parameter["name"]]
        _check_shape(tensor, parameter)
        check(tensor, parameter["name"])
        if tensor.seed is not None:
            seeds[tensor.seed] = parameter["name"]
    if len(seeds) > 1:
        raise InputError(", ".join(sorted(seeds.values())), f"bases of seeds {sorted(seeds)}", "A message has one seed: quantize again")
    return next(iter(seeds), None)


def _checked_body(message, architecture, where):
    smallest = len(MAGIC) + 20 + (_SEED.size if message[:4] == MAGIC_ROTATED else 0)
    if len(message) < smallest or message[:4] not in (MAGIC, MAGIC_ROTATED):
        raise InputError(where, f"starts with {bytes(message[:4])!r}, not {MAGIC!r}", "Give a file that `scalebound encode` wrote")
    body, (stored,) = message[:-4], struct.unpack("<I", message[-4:])
    if zlib.crc32(body) != stored:
        raise InputError(where, "its checksum does not match: truncated or altered", "Encode the model again")
    found = body[4:20].hex()
    if found != architecture["id"]:
        raise InputError(where, f"architecture {found}, expected {architecture['id']}", "Decode with the architecture it was encoded for")
    return body


def _layout(body, place, parameter, seed):
    """((place of the scales, rows, columns, bits, group, seed of its basis), place of what follows) of the parameter at a place."""
    rows, columns = matrix_view(parameter["shape"], parameter["use"])
    bits, group = _PARAMETER.unpack_from(body, place)
    rotated = seed is not None and bool(bits & _ROTATED)
    bits -= _ROTATED if rotated else 0
    if not 1 <= bits <= 8 or not 1 <= group <= max(1, columns):
        raise ValueError(f"{bits} bits, groups of {group} columns")
    place += _PARAMETER.size
    # lengths are compared with what is there before anything is allocated
    if place + (size := sum(_sizes(rows, columns, bits, group))) > len(body):
        raise ValueError(f"needs {size} bytes, {len(body) - place} are left")
    return (place, rows, columns, bits, group, seed if rotated else None), place + size


def _sizes(rows, columns, bits, group):
    """Bytes of scales, zeros and codes."""
    groups = -(-columns // group)
    return 2 * rows * groups, packed_size(rows * groups, bits), packed_size(rows * columns, bits)


def _read_parameter(body, place, rows, columns, bits, group, seed):
    groups, pieces = -(-columns // group), []
    for size in _sizes(rows, columns, bits, group):
        pieces.append(body[place : place + size])
        place += size
    scales = np.frombuffer(pieces[0], dtype="<f2").astype(np.float16).reshape(rows, groups)
    if not np.isfinite(scales).all():
        raise ValueError("a scale is not finite")
    zeros, codes = unpack(pieces[1], rows * groups, bits), unpack(pieces[2], rows * columns, bits)
    return IntegerTensor(codes.reshape(rows, columns), scales, zeros.reshape(rows, groups), bits, group, seed)


def _check_shape(tensor, parameter):
    expected = matrix_view(parameter["shape"], parameter["use"])
    if tensor.codes.shape != expected:
        raise InputError(parameter["name"], f"codes {tensor.codes.shape}, the architecture has {expected}", "Quantize again")
