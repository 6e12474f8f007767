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
BASES = [None, 5]  # without a random basis, and with one for some parameters
NOT_SLOW = datetime.timedelta(seconds=2)


def random_tensor(parameter, bits, group, rng, seed=None):
    rows, columns = integers.matrix_view(parameter["shape"], parameter["use"])
    width = integers.group_width(columns, group)
    groups = -(-columns // width)
    codes, zeros = (rng.integers(0, 2**bits, shape, dtype=np.uint8) for shape in ((rows, columns), (rows, groups)))
    return IntegerTensor(codes, rng.normal(size=(rows, groups)).astype(np.float16), zeros, bits, width, seed)


def random_tensors(architecture, seed=0, basis=None):
    """With a seed `basis`, every second tensor lies in a random basis."""
    rng = np.random.default_rng(seed)
    bases = [basis if k % 2 else None for k in range(len(architecture["parameters"]))]
    return {p["name"]: random_tensor(p, int(rng.integers(1, 9)), int(rng.integers(0, 5)), rng, b) for p, b in zip(architecture["parameters"], bases)}


def same(a, b):
    arrays = all(getattr(a, part).tobytes() == getattr(b, part).tobytes() for part in ("codes", "scales", "zeros"))
    return arrays and a.codes.shape == b.codes.shape and (a.bits, a.group, a.seed) == (b.bits, b.group, b.seed)


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


@given(architectures(), st.integers(0, 2**32), st.none() | st.integers(0, 2**32 - 1))
@settings(deadline=NOT_SLOW)
def test_any_tensors_come_back_bit_for_bit(architecture, seed, basis):
    tensors = random_tensors(architecture, seed, basis)
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


def test_the_bytes_of_a_message_with_a_basis_written_by_hand():
    architecture = {"id": ID, "parameters": [{"name": name, "shape": [1, 2], "use": "linear"} for name in "vw"]}
    codes, scales, zeros = np.array([[1, 2]], np.uint8), np.array([[1.5]], np.float16), np.array([[1]], np.uint8)
    tensors = {"v": IntegerTensor(codes, scales, zeros, 2, 2, seed=0x01020304), "w": IntegerTensor(codes, scales, zeros, 2, 2)}
    rest = b"\x02\0\0\0" + b"\0\x3e" + bytes([1, 9])
    data, sizes = message.encode(tensors, architecture)
    assert data == sealed(b"SBQ3" + bytes.fromhex(ID) + b"\x04\x03\x02\x01" + b"\x82" + rest + b"\x02" + rest)
    assert sizes == {"v": 72, "w": 72}


def test_a_basis_costs_the_four_bytes_of_its_seed():
    plain, turned = (message.encode(random_tensors(ARCHITECTURE, basis=basis), ARCHITECTURE)[0] for basis in (None, 5))
    assert (plain[:4], turned[:4]) == (b"SBQ1", b"SBQ3")
    assert len(turned) == len(plain) + 4


def test_bases_of_two_seeds_are_no_message():
    tensors = random_tensors(ARCHITECTURE, basis=5)
    tensors["norm"] = random_tensor({"shape": [3], "use": "vector"}, 4, 0, np.random.default_rng(0), seed=6)
    with pytest.raises(InputError, match=r"seeds \[5, 6\]"):
        message.encode(tensors, ARCHITECTURE)


def test_a_seed_that_nothing_uses_is_refused():
    body = message.encode(random_tensors(ARCHITECTURE), ARCHITECTURE)[0][:-4]
    with pytest.raises(InputError, match="without a parameter in a basis"):
        message.decode(sealed(b"SBQ3" + body[4:20] + bytes(4) + body[20:]), ARCHITECTURE)


def test_a_flag_of_a_basis_in_a_message_without_a_seed_is_refused():
    turned = message.encode(random_tensors(ARCHITECTURE, basis=5), ARCHITECTURE)[0][:-4]
    with pytest.raises(InputError, match="conv is unreadable"):
        message.decode(sealed(b"SBQ1" + turned[4:20] + turned[24:]), ARCHITECTURE)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_takes_more_than_four_bytes_is_not_encoded(seed):
    with pytest.raises(InputError, match=f"seed {seed} of its basis"):
        message.encode(random_tensors(ARCHITECTURE, basis=seed), ARCHITECTURE)


def test_bits_by_parameter_and_the_frame_add_up_to_the_message():
    data, sizes = message.encode(random_tensors(ARCHITECTURE), ARCHITECTURE)
    assert list(sizes) == [p["name"] for p in ARCHITECTURE["parameters"]]
    assert sum(sizes.values()) + 8 * (4 + 16 + 4) == 8 * len(data)


def test_the_order_of_the_architecture_decides_not_that_of_the_tensors():
    tensors = random_tensors(ARCHITECTURE)
    backwards = dict(reversed(tensors.items()))
    assert message.encode(backwards, ARCHITECTURE)[0] == message.encode(tensors, ARCHITECTURE)[0]


@pytest.mark.parametrize("basis", BASES)
def test_a_message_cut_after_any_byte_is_refused(basis):
    data, _ = message.encode(random_tensors(ARCHITECTURE, basis=basis), ARCHITECTURE)
    for length in range(len(data)):
        with pytest.raises(InputError):
            message.decode(data[:length], ARCHITECTURE)


@pytest.mark.parametrize("basis", BASES)
def test_a_message_cut_after_any_byte_is_refused_also_with_its_checksum_mended(basis):
    body = message.encode(random_tensors(ARCHITECTURE, basis=basis), ARCHITECTURE)[0][:-4]
    for length in range(len(body)):
        with pytest.raises(InputError):
            message.decode(sealed(body[:length]), ARCHITECTURE)


@pytest.mark.parametrize("basis", BASES)
def test_every_single_flipped_bit_is_refused(basis):
    data, _ = message.encode(random_tensors(ARCHITECTURE, basis=basis), ARCHITECTURE)
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


def accepts_or_refuses(body, magic):
    """Decode a body with the right frame: InputError, or tensors that fit and whose message is this very one."""
    data = sealed(magic + bytes.fromhex(ID) + body)
    try:
        tensors = message.decode(data, ARCHITECTURE)
    except InputError:
        return
    for parameter in ARCHITECTURE["parameters"]:
        integers.check(tensors[parameter["name"]], parameter["name"])
        assert np.isfinite(tensors[parameter["name"]].dequantize()).all()
    assert message.encode(tensors, ARCHITECTURE)[0] == data


@given(st.binary(max_size=300), st.sampled_from([message.MAGIC, message.MAGIC_ROTATED]))
@settings(deadline=NOT_SLOW)
def test_random_bytes_give_tensors_or_an_input_error(body, magic):
    accepts_or_refuses(body, magic)


@given(st.integers(0, 99), st.sampled_from(BASES), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=3))
@settings(deadline=NOT_SLOW, max_examples=300)
def test_altered_messages_with_a_mended_checksum_give_tensors_or_an_input_error(seed, basis, changes):
    data = message.encode(random_tensors(ARCHITECTURE, seed, basis), ARCHITECTURE)[0]
    body = bytearray(data[20:-4])
    for place, value in changes:
        body[place % len(body)] = value
    accepts_or_refuses(bytes(body), data[:4])


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
