"""`model.sbq`: exact round trips, refusal of every altered message, and the length that the bounds count."""

import datetime
import math
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalebound.errors import InputError
from scalebound.quantization import integers, message
from scalebound.quantization.integers import IntegerTensor

ID = "00112233445566778899aabbccddeeff"
ARCHITECTURE = {
    "id": ID,
    "parameters": [
        {"name": "embed", "shape": [5, 3], "use": "tied"},
        {"name": "conv", "shape": [2, 7], "use": "conv1d"},
        {"name": "norm", "shape": [3], "use": "vector"},
        {"name": "kernel", "shape": [2, 1, 3], "use": "other"},
        {"name": "scalar", "shape": [], "use": "vector"},
    ],
}
NOT_SLOW = datetime.timedelta(seconds=2)


def random_tensor(parameter, bits, group, rng):
    rows, columns = integers.matrix_view(parameter["shape"], parameter["use"])
    width = integers.group_width(columns, group)
    groups = -(-columns // width)
    codes, zeros = (rng.integers(0, 2**bits, shape, dtype=np.uint8) for shape in ((rows, columns), (rows, groups)))
    return IntegerTensor(codes, rng.normal(size=(rows, groups)).astype(np.float16), zeros, bits, width)


def random_tensors(architecture, seed=0):
    rng = np.random.default_rng(seed)
    return {p["name"]: random_tensor(p, int(rng.integers(1, 9)), int(rng.integers(0, 5)), rng) for p in architecture["parameters"]}


def same(a, b):
    arrays = all(getattr(a, part).tobytes() == getattr(b, part).tobytes() for part in ("codes", "scales", "zeros"))
    return arrays and a.codes.shape == b.codes.shape and (a.bits, a.group) == (b.bits, b.group)


def sealed(body):
    """A message with this body and the checksum that belongs to it."""
    return body + struct.pack("<I", zlib.crc32(body))


@st.composite
def architectures(draw):
    uses = st.sampled_from(
        [("linear", 2), ("conv1d", 2), ("embedding", 2), ("tied", 2), ("vector", 1), ("vector", 0), ("other", 2), ("other", 3), ("other", 4)]
    )
    parameters = []
    for k, (use, dimensions) in enumerate(draw(st.lists(uses, max_size=5))):
        shape = draw(st.lists(st.integers(1, 6), min_size=dimensions, max_size=dimensions))
        parameters.append({"name": f"p{k}", "shape": shape, "use": use})
    return {"id": ID, "parameters": parameters}


@given(architectures(), st.integers(0, 2**32))
@settings(deadline=NOT_SLOW)
def test_any_tensors_come_back_bit_for_bit(architecture, seed):
    tensors = random_tensors(architecture, seed)
    data, _ = message.encode(tensors, architecture)
    found = message.decode(data, architecture)
    assert list(found) == list(tensors)
    assert all(same(found[name], tensors[name]) for name in tensors)


def test_the_bytes_of_a_message_written_by_hand():
    architecture = {"id": ID, "parameters": [{"name": "w", "shape": [2, 3], "use": "linear"}]}
    tensor = IntegerTensor(np.array([[0, 1, 2], [3, 2, 1]], np.uint8), np.array([[1.5], [-2]], np.float16), np.array([[1], [2]], np.uint8), 2, 3)
    # scales 0x3e00 and 0xc000; zeros 1 + 2 * 4; codes 0 + 1 * 4 + 2 * 16 + 3 * 64 and 2 + 1 * 4
    body = b"SBQ1" + bytes.fromhex(ID) + b"\x02\x03\0\0\0" + b"\0\x3e\0\xc0" + bytes([9]) + bytes([228, 6])
    data, sizes = message.encode({"w": tensor}, architecture)
    assert data == sealed(body)
    assert sizes == {"w": 8 * 12}


def test_bits_by_parameter_and_the_frame_add_up_to_the_message():
    data, sizes = message.encode(random_tensors(ARCHITECTURE), ARCHITECTURE)
    assert list(sizes) == [p["name"] for p in ARCHITECTURE["parameters"]]
    assert sum(sizes.values()) + 8 * (4 + 16 + 4) == 8 * len(data)


def test_the_order_of_the_architecture_decides_not_that_of_the_tensors():
    tensors = random_tensors(ARCHITECTURE)
    backwards = dict(reversed(tensors.items()))
    assert message.encode(backwards, ARCHITECTURE)[0] == message.encode(tensors, ARCHITECTURE)[0]


def test_a_message_cut_after_any_byte_is_refused():
    data, _ = message.encode(random_tensors(ARCHITECTURE), ARCHITECTURE)
    for length in range(len(data)):
        with pytest.raises(InputError):
            message.decode(data[:length], ARCHITECTURE)


def test_a_message_cut_after_any_byte_is_refused_also_with_its_checksum_mended():
    body = message.encode(random_tensors(ARCHITECTURE), ARCHITECTURE)[0][:-4]
    for length in range(len(body)):
        with pytest.raises(InputError):
            message.decode(sealed(body[:length]), ARCHITECTURE)


def test_every_single_flipped_bit_is_refused():
    data, _ = message.encode(random_tensors(ARCHITECTURE), ARCHITECTURE)
    for place in range(8 * len(data)):
        altered = bytearray(data)
        altered[place // 8] ^= 1 << place % 8
        with pytest.raises(InputError):
            message.decode(bytes(altered), ARCHITECTURE)


@pytest.mark.parametrize("extra", [b"\0", b"\0\0\0\0", b"SBQ1"])
def test_trailing_bytes_are_refused(extra):
    data, _ = message.encode(random_tensors(ARCHITECTURE), ARCHITECTURE)
    with pytest.raises(InputError, match="checksum"):
        message.decode(data + extra, ARCHITECTURE)
    with pytest.raises(InputError, match=f"{len(extra)} bytes left over"):
        message.decode(sealed(data[:-4] + extra), ARCHITECTURE)


def test_a_message_of_another_architecture_is_refused_and_both_ids_are_named():
    data, _ = message.encode(random_tensors(ARCHITECTURE), ARCHITECTURE)
    other = {**ARCHITECTURE, "id": "f" * 32}
    with pytest.raises(InputError, match=f"architecture {ID}, expected {'f' * 32}"):
        message.decode(data, other)


def test_a_message_of_another_format_version_is_refused():
    data, _ = message.encode(random_tensors(ARCHITECTURE), ARCHITECTURE)
    with pytest.raises(InputError, match="SBQ2"):
        message.decode(sealed(b"SBQ2" + data[4:-4]), ARCHITECTURE)


def accepts_or_refuses(body):
    """Decode a body with the right frame: InputError, or tensors that fit and whose message is this very one."""
    data = sealed(message.MAGIC + bytes.fromhex(ID) + body)
    try:
        tensors = message.decode(data, ARCHITECTURE)
    except InputError:
        return
    for parameter in ARCHITECTURE["parameters"]:
        integers.check(tensors[parameter["name"]], parameter["name"])
        assert np.isfinite(tensors[parameter["name"]].dequantize()).all()
    assert message.encode(tensors, ARCHITECTURE)[0] == data


@given(st.binary(max_size=300))
@settings(deadline=NOT_SLOW)
def test_random_bytes_give_tensors_or_an_input_error(body):
    accepts_or_refuses(body)


@given(st.integers(0, 99), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=3))
@settings(deadline=NOT_SLOW, max_examples=300)
def test_altered_messages_with_a_mended_checksum_give_tensors_or_an_input_error(seed, changes):
    body = bytearray(message.encode(random_tensors(ARCHITECTURE, seed), ARCHITECTURE)[0][20:-4])
    for place, value in changes:
        body[place % len(body)] = value
    accepts_or_refuses(bytes(body))


@pytest.mark.parametrize(("bits", "group"), [(0, 1), (9, 1), (255, 1), (4, 0), (4, 4), (4, 2**32 - 1)])
def test_impossible_bits_and_groups_are_refused(bits, group):
    architecture = {"id": ID, "parameters": [{"name": "w", "shape": [2, 3], "use": "linear"}]}
    body = message.MAGIC + bytes.fromhex(ID) + struct.pack("<BI", bits, group) + bytes(100)
    with pytest.raises(InputError, match="w is unreadable"):
        message.decode(sealed(body), architecture)


def test_a_huge_tensor_is_refused_before_memory_is_taken_for_it():
    architecture = {"id": ID, "parameters": [{"name": "w", "shape": [2**30, 2**30], "use": "linear"}]}
    body = message.MAGIC + bytes.fromhex(ID) + struct.pack("<BI", 8, 2**20) + bytes(1000)
    with pytest.raises(InputError, match="1000 are left"):
        message.decode(sealed(body), architecture)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scales_that_are_not_finite_are_refused_both_ways(value):
    tensors = random_tensors(ARCHITECTURE)
    tensors["norm"].scales[0, 0] = value
    with pytest.raises(InputError, match="NaN or infinite"):
        message.encode(tensors, ARCHITECTURE)
    architecture = {"id": ID, "parameters": [{"name": "w", "shape": [1, 1], "use": "linear"}]}
    body = message.MAGIC + bytes.fromhex(ID) + struct.pack("<BI", 8, 1) + np.float16(value).tobytes() + b"\0\0"
    with pytest.raises(InputError, match="not finite"):
        message.decode(sealed(body), architecture)


def test_a_tensor_of_another_shape_than_the_architecture_has_is_not_encoded():
    tensors = random_tensors(ARCHITECTURE)
    # the same number of entries, not transposed as a conv1d weight must be
    tensors["conv"] = random_tensor({"shape": [2, 7], "use": "linear"}, 4, 0, np.random.default_rng(0))
    with pytest.raises(InputError, match=r"codes \(2, 7\), the architecture has \(7, 2\)"):
        message.encode(tensors, ARCHITECTURE)


@pytest.mark.parametrize(
    ("n_bytes", "bits"),
    [
        (0, 1),  # 0 + 2 * ceil(log2(1)) + 1
        (1, 17),  # 8 + 2 * ceil(log2(9)) + 1, the ceiling is 4
        (2, 27),  # 16 + 2 * 5 + 1
        (31, 265),  # 248 + 2 * 8 + 1: 249 is still below 2**8
        (32, 275),  # 256 + 2 * 9 + 1: 257 no longer is
        (1000, 8027),  # 8000 + 2 * 13 + 1
        (2**40, 2**43 + 2 * 44 + 1),
    ],
)
def test_code_length_by_hand(n_bytes, bits):
    assert message.code_length_bits(n_bytes) == bits


@given(st.integers(1, 2**43))
@settings(deadline=None)
def test_code_length_is_that_of_an_elias_gamma_prefix_and_the_bytes(n_bytes):
    # for an even number m, ceil(log2(m + 1)) is the number of binary digits of m: integers only
    assert message.code_length_bits(n_bytes) == 8 * n_bytes + 2 * (8 * n_bytes).bit_length() + 1


def test_code_lengths_of_all_files_together_satisfy_kraft():
    # 2**(8 n) files of n bytes, each with weight 2**-length
    total = math.fsum(2.0 ** (8 * n - message.code_length_bits(n)) for n in range(200_000))
    assert total <= 1
