"""`model.sbq` under attack: hundreds of thousands of altered messages, none of which crashes, hangs or swells the decoder.

The seed is fixed, so that a failure repeats. Besides plain noise, half of the altered messages carry a mended checksum:
with the stored one, all that is tested is CRC-32.
"""

import json
import random
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest

from scalebound.errors import InputError
from scalebound.quantization import message
from scalebound.quantization.integers import IntegerTensor, check, group_width, matrix_view

ID = "00112233445566778899aabbccddeeff"
FRAME = 20  # magic and architecture id
MUTATED, NOISE = 200_000, 40_000
DECODE_SECONDS = 1.0  # a few microseconds in truth; a busy machine may take the core away for a while
ARCHITECTURES = [
    {"id": ID, "parameters": [{"name": "w", "shape": [3, 5], "use": "linear"}, {"name": "b", "shape": [3], "use": "vector"}]},
    {"id": ID, "parameters": [{"name": "c", "shape": [2, 9], "use": "conv1d"}, {"name": "s", "shape": [], "use": "vector"}]},
    {"id": ID, "parameters": [{"name": "k", "shape": [2, 1, 3], "use": "other"}]},
    {"id": ID, "parameters": []},
]
# group and bits fields, and integers that fields like them are often wrong about
LENGTHS = [0, 1, 2, 7, 8, 255, 256, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1]


def sealed(body):
    """A message with this body and the checksum that belongs to it."""
    return body + struct.pack("<I", zlib.crc32(body))


def valid_messages(architecture, count, rng):
    """Half of them with some parameters in random bases."""
    return [message.encode({p["name"]: _tensor(p, rng, 7 if k % 2 else None) for p in architecture["parameters"]}, architecture)[0] for k in range(count)]


def _tensor(parameter, rng, seed):
    rows, columns = matrix_view(parameter["shape"], parameter["use"])
    bits, width = int(rng.integers(1, 9)), group_width(columns, int(rng.integers(0, columns + 1)))
    groups = -(-columns // width)
    codes, zeros = (rng.integers(0, 2**bits, shape, dtype=np.uint8) for shape in ((rows, columns), (rows, groups)))
    scales = rng.normal(size=(rows, groups)).astype(np.float16)
    return IntegerTensor(codes, scales, zeros, bits, width, seed if rng.integers(2) else None)


def flip(data, rng, _):
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] ^= rng.randint(1, 255)


def cut(data, rng, _):
    start = rng.randrange(len(data))
    del data[start : start + rng.randint(1, len(data))]


def insert(data, rng, _):
    place = rng.randint(0, len(data))
    data[place:place] = rng.randbytes(rng.randint(1, 12))


def splice(data, rng, other):
    a, b = rng.randrange(len(data)), rng.randrange(len(other))
    data[a:] = other[b:]


def length_field(data, rng, _):
    place = rng.randrange(len(data))
    data[place : place + 4] = struct.pack("<I", rng.choice(LENGTHS))


def first_header(data, rng, _):
    """The first parameter's bits and group: every value that a decoder has to refuse, and some that fit."""
    start = FRAME + 4 * (data[:4] == message.MAGIC_ROTATED)
    data[start : start + 5] = struct.pack("<BI", rng.choice([*range(10), *range(127, 138), 255]), rng.choice([*range(12), *LENGTHS]))


MUTATIONS = [flip, cut, insert, splice, length_field, first_header]


def mutated(messages, count, seed):
    """`count` altered messages; every second one has a mended checksum."""
    rng = random.Random(seed)
    for number in range(count):
        data = bytearray(rng.choice(messages))
        for mutate in rng.choices(MUTATIONS, k=rng.choice([1, 1, 2, 3])):
            if data:
                mutate(data, rng, rng.choice(messages))
        yield sealed(bytes(data[:-4])) if number % 2 else bytes(data)


def noise(count, seed):
    """Random bytes: bare, behind a right frame, and behind a right frame with a right checksum."""
    rng = random.Random(seed)
    for number in range(count):
        frame = rng.choice([message.MAGIC, message.MAGIC_ROTATED]) + bytes.fromhex(ID)
        data = rng.randbytes(rng.randint(0, 80))
        yield (data, frame + data, sealed(frame + data))[number % 3]


def attempt(data, architecture):
    """Decode: the tensors, or None for a message that is refused with one clear error."""
    started = time.perf_counter()
    try:
        tensors = message.decode(data, architecture)
    except InputError:
        tensors = None
    assert time.perf_counter() - started < DECODE_SECONDS, data.hex()
    return tensors


def check_accepted(tensors, data, architecture):
    """What is accepted is sound, and its own encoding is the message that it came from: one message, one encoding."""
    for parameter in architecture["parameters"]:
        tensor = tensors[parameter["name"]]
        check(tensor, parameter["name"])
        assert 1 <= tensor.group <= max(1, tensor.codes.shape[1]), "a wider group would be a second message of the same integers"
        assert np.isfinite(tensor.dequantize()).all()
    assert message.encode(tensors, architecture)[0] == data, data.hex()


def fuzz(inputs, architecture):
    """How many were accepted."""
    accepted = 0
    for data in inputs:
        tensors = attempt(data, architecture)
        if tensors is not None:
            accepted += 1
            check_accepted(tensors, data, architecture)
    return accepted


@pytest.mark.parametrize("number", range(len(ARCHITECTURES)))
def test_altered_messages_are_refused_or_are_their_own_encoding(number):
    architecture, count = ARCHITECTURES[number], MUTATED // len(ARCHITECTURES)
    messages = valid_messages(architecture, 40, np.random.default_rng(number))
    accepted = fuzz(mutated(messages, count, seed=number), architecture)
    # the decoder's depths were reached: codes and scales that were altered behind a mended checksum are another model
    assert accepted > 0.01 * count
    assert accepted < 0.5 * count


@pytest.mark.parametrize("number", range(len(ARCHITECTURES)))
def test_noise_is_refused_or_is_its_own_encoding(number):
    fuzz(noise(NOISE // len(ARCHITECTURES), seed=number), ARCHITECTURES[number])


def peak_of(data, architecture):
    """Bytes that Python and numpy held at the worst moment of one decode, above what they held before it."""
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    attempt(data, architecture)
    return tracemalloc.get_traced_memory()[1] - before


def allowance(data, architecture):
    """A code of one bit becomes a byte, and is a byte a few times over while it is unpacked; the rest is small change."""
    return 64 * len(data) + 4 * len(json.dumps(architecture)) + 20_000


def worst_excess(inputs, architecture):
    tracemalloc.start()
    try:
        return max(peak_of(data, architecture) - allowance(data, architecture) for data in inputs)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("number", range(len(ARCHITECTURES)))
def test_no_altered_message_takes_more_memory_than_a_small_multiple_of_its_size(number):
    messages = valid_messages(ARCHITECTURES[number], 40, np.random.default_rng(100 + number))
    assert worst_excess(mutated(messages, 2_000, seed=100 + number), ARCHITECTURES[number]) < 0


@pytest.mark.parametrize("shape", [[2**20, 2**20], [2**31, 1], [1, 2**31], [2**31 - 1, 2**31 - 1]])
def test_no_field_makes_the_decoder_allocate_for_a_huge_architecture(shape):
    """Bits and group multiply with the architecture's rows and columns: all of it is compared with what is there first."""
    architecture = {"id": ID, "parameters": [{"name": "w", "shape": shape, "use": "linear"}]}
    frame = message.MAGIC + bytes.fromhex(ID)
    inputs = [sealed(frame + struct.pack("<BI", bits, group) + bytes(500)) for bits in (1, 4, 8, 255) for group in LENGTHS]
    assert worst_excess(inputs, architecture) < 0


def test_a_large_message_takes_a_small_multiple_of_its_size():
    """Above the size at which values are unpacked in chunks."""
    architecture = {"id": ID, "parameters": [{"name": "w", "shape": [512, 8192], "use": "linear"}]}
    codes = np.random.default_rng(0).integers(0, 2, (512, 8192), dtype=np.uint8)
    tensor = IntegerTensor(codes, np.ones((512, 1), np.float16), np.zeros((512, 1), np.uint8), 1, 8192)
    assert worst_excess([message.encode({"w": tensor}, architecture)[0]], architecture) < 0


@pytest.mark.parametrize("scale", [0.0, -0.0, -1.5, 6e-8])
def test_unusual_scales_keep_their_bits(scale):
    """Zero of either sign, negative and subnormal scales are messages like any other, and stay what they are."""
    architecture = {"id": ID, "parameters": [{"name": "w", "shape": [1, 2], "use": "linear"}]}
    data = sealed(message.MAGIC + bytes.fromhex(ID) + struct.pack("<BI", 4, 2) + np.float16(scale).tobytes() + b"\x03\x21")
    check_accepted(message.decode(data, architecture), data, architecture)
