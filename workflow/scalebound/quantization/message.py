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

import struct
import zlib

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
    parts, sizes = [], {}
    for parameter in architecture["parameters"]:
        tensor = tensors[parameter["name"]]
        _check_shape(tensor, parameter)
        check(tensor, parameter["name"])
        piece = _PARAMETER.pack(tensor.bits | (0 if tensor.seed is None else _ROTATED), tensor.group) + tensor.scales.astype("<f2").tobytes()
        piece += pack(tensor.zeros, tensor.bits) + pack(tensor.codes, tensor.bits)
        sizes[parameter["name"]] = 8 * len(piece)
        parts.append(piece)
    seed, identifier = _common_seed(tensors), bytes.fromhex(architecture["id"])
    head = MAGIC + identifier if seed is None else MAGIC_ROTATED + identifier + _SEED.pack(seed)
    body = b"".join([head, *parts])
    return body + struct.pack("<I", zlib.crc32(body)), sizes


def decode(message, architecture, where="model.sbq"):
    """{parameter name: IntegerTensor} of a message; of an entropy-coded one (SBQ2, rate/message.py), {name: CodedTensor}.

    Raises:
        InputError: not such a message, of another architecture, truncated, altered, or with bytes left over.
    """
    if message[:4] == rate_message.MAGIC:
        return rate_message.decode(message, architecture, where)
    body = _checked_body(message, architecture, where)
    tensors, place, seed = {}, len(MAGIC) + 16, None
    if body[:4] == MAGIC_ROTATED:
        (seed,), place = _SEED.unpack_from(body, place), place + _SEED.size
    for parameter in architecture["parameters"]:
        try:
            tensors[parameter["name"]], place = _read_parameter(body, place, parameter, seed)
        except (ValueError, struct.error) as error:
            raise InputError(where, f"{parameter['name']} is unreadable ({error})", "Encode the model again") from None
    if place != len(body):
        raise InputError(where, f"{len(body) - place} bytes left over", "Encode the model again")
    if seed is not None and all(tensor.seed is None for tensor in tensors.values()):
        raise InputError(where, f"{MAGIC_ROTATED!r} without a parameter in a basis of its own", "Encode the model again")
    return tensors


def code_length_bits(n_bytes):
    """Length in bits of the self-delimiting message: 8 n + 2 ceil(log2(8 n + 1)) + 1 (theory: section 7)."""
    bits = 8 * n_bytes
    return bits + 2 * bits.bit_length() + 1  # bit_length is ceil(log2(bits + 1)) without rounding


def _common_seed(tensors):
    """The seed of all bases, None where there are none. Raises InputError when there are several."""
    seeds = {tensor.seed: name for name, tensor in tensors.items() if tensor.seed is not None}
    if len(seeds) > 1:
        raise InputError(", ".join(sorted(seeds.values())), f"bases of seeds {sorted(seeds)}", "A message has one seed: quantize again")
    return next(iter(seeds), None)


def _checked_body(message, architecture, where):
    smallest = len(MAGIC) + 20 + (_SEED.size if message[:4] == MAGIC_ROTATED else 0)
    if len(message) < smallest or message[:4] not in (MAGIC, MAGIC_ROTATED):
        raise InputError(where, f"starts with {message[:4]!r}, not {MAGIC!r}", "Give a file that `scalebound encode` wrote")
    body, (stored,) = message[:-4], struct.unpack("<I", message[-4:])
    if zlib.crc32(body) != stored:
        raise InputError(where, "its checksum does not match: truncated or altered", "Encode the model again")
    found = body[4:20].hex()
    if found != architecture["id"]:
        raise InputError(where, f"architecture {found}, expected {architecture['id']}", "Decode with the architecture it was encoded for")
    return body


def _read_parameter(body, place, parameter, seed):
    rows, columns = matrix_view(parameter["shape"], parameter["use"])
    bits, group = _PARAMETER.unpack_from(body, place)
    rotated = seed is not None and bool(bits & _ROTATED)
    bits -= _ROTATED if rotated else 0
    if not 1 <= bits <= 8 or not 1 <= group <= max(1, columns):
        raise ValueError(f"{bits} bits, groups of {group} columns")
    place += _PARAMETER.size
    groups = -(-columns // group)
    sizes = (2 * rows * groups, packed_size(rows * groups, bits), packed_size(rows * columns, bits))
    # lengths are compared with what is there before anything is allocated
    if place + sum(sizes) > len(body):
        raise ValueError(f"needs {sum(sizes)} bytes, {len(body) - place} are left")
    pieces = []
    for size in sizes:
        pieces.append(body[place : place + size])
        place += size
    scales = np.frombuffer(pieces[0], dtype="<f2").astype(np.float16).reshape(rows, groups)
    if not np.isfinite(scales).all():
        raise ValueError("a scale is not finite")
    zeros, codes = unpack(pieces[1], rows * groups, bits), unpack(pieces[2], rows * columns, bits)
    return IntegerTensor(codes.reshape(rows, columns), scales, zeros.reshape(rows, groups), bits, group, seed if rotated else None), place


def _check_shape(tensor, parameter):
    expected = matrix_view(parameter["shape"], parameter["use"])
    if tensor.codes.shape != expected:
        raise InputError(parameter["name"], f"codes {tensor.codes.shape}, the architecture has {expected}", "Quantize again")
