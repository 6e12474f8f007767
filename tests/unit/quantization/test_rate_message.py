"""`model.sbq` of entropy-coded integers: exact round trips, refusal of altered messages, and lengths near the entropy."""

import datetime
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalebound.errors import InputError
from scalebound.quantization import integers
from scalebound.quantization import message as any_message
from scalebound.quantization.rate import message
from scalebound.quantization.rate.coded_tensor import LARGEST_CODE, CodedTensor

ID = "00112233445566778899aabbccddeeff"
ARCHITECTURE = {
    "id": ID,
    "parameters": [
        {"name": "embed", "shape": [9, 5], "use": "tied"},
        {"name": "conv", "shape": [4, 7], "use": "conv1d"},
        {"name": "norm", "shape": [11], "use": "vector"},
        {"name": "kernel", "shape": [2, 1, 3], "use": "other"},
        {"name": "column", "shape": [6, 1], "use": "linear"},
        {"name": "scalar", "shape": [], "use": "vector"},
    ],
}
NOT_SLOW = datetime.timedelta(seconds=5)


def random_tensor(parameter, rng, scale):
    shape = integers.matrix_view(parameter["shape"], parameter["use"])
    codes = np.clip(np.rint(rng.standard_cauchy(shape) * scale), -LARGEST_CODE, LARGEST_CODE).astype(np.int32)
    exponents = [rng.integers(-9, 9, n).astype(np.int16) * int(rng.integers(0, 2)) for n in shape]
    return CodedTensor(codes, int(rng.integers(-60, 20)), *exponents, int(rng.integers(0, 2)))


def random_tensors(architecture, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    return {p["name"]: random_tensor(p, rng, scale) for p in architecture["parameters"]}


def same(a, b):
    arrays = all(np.array_equal(getattr(a, part), getattr(b, part)) for part in ("codes", "row_exponents", "column_exponents"))
    return arrays and (a.base, a.offset) == (b.base, b.offset) and a.dequantize().tobytes() == b.dequantize().tobytes()


def sealed(body):
    return body + struct.pack("<I", zlib.crc32(body))


@st.composite
def architectures(draw):
    uses = st.sampled_from([("linear", 2), ("conv1d", 2), ("embedding", 2), ("tied", 2), ("vector", 1), ("vector", 0), ("other", 3)])
    parameters = []
    for k, (use, dimensions) in enumerate(draw(st.lists(uses, max_size=5))):
        shape = draw(st.lists(st.integers(1, 12), min_size=dimensions, max_size=dimensions))
        parameters.append({"name": f"p{k}", "shape": shape, "use": use})
    return {"id": ID, "parameters": parameters}


@given(architectures(), st.integers(0, 2**32), st.sampled_from([0.0, 0.2, 1.0, 20.0, 1e6]))
@settings(deadline=NOT_SLOW)
def test_any_tensors_come_back_bit_for_bit(architecture, seed, scale):
    tensors = random_tensors(architecture, seed, scale)
    found = message.decode(message.encode(tensors, architecture)[0], architecture)
    assert list(found) == list(tensors)
    assert all(same(found[name], tensors[name]) for name in tensors)


def test_the_general_decoder_reads_both_formats():
    tensors = random_tensors(ARCHITECTURE)
    found = any_message.decode(message.encode(tensors, ARCHITECTURE)[0], ARCHITECTURE)
    assert all(same(found[name], tensors[name]) for name in tensors)


def test_the_largest_codes_survive():
    architecture = {"id": ID, "parameters": [{"name": "w", "shape": [2, 2], "use": "linear"}]}
    codes = np.array([[LARGEST_CODE, -LARGEST_CODE], [0, -1]], np.int32)
    tensor = CodedTensor(codes, 0, np.zeros(2, np.int16), np.zeros(2, np.int16))
    assert same(message.decode(message.encode({"w": tensor}, architecture)[0], architecture)["w"], tensor)


def test_weights_are_codes_times_the_written_out_steps():
    tensor = CodedTensor(np.array([[1, -2], [3, 0]], np.int32), -4, np.array([0, 1], np.int16), np.array([0, 4], np.int16), 1)
    root = np.float32(2**0.25)
    expected = np.array([[1 + 0.5, 1 - 2.0], [1 + np.float32(3) * (root / 2), 1]], np.float32)
    assert tensor.dequantize().tobytes() == expected.tobytes()


def laplace(shape, scales, seed):
    rng = np.random.default_rng(seed)
    return np.rint(rng.laplace(size=shape) * scales).astype(np.int32)


def coded_bits(codes):
    architecture = {"id": ID, "parameters": [{"name": "w", "shape": list(codes.shape), "use": "linear"}]}
    tensor = CodedTensor(codes, 0, *(np.zeros(n, np.int16) for n in codes.shape))
    return 8 * len(message.encode({"w": tensor}, architecture)[0])


def histogram_bits(codes):
    counts = np.unique(codes, return_counts=True)[1]
    return float(-(counts * np.log2(counts / codes.size)).sum())


def test_independent_codes_cost_little_more_than_their_entropy():
    codes = laplace((128, 128), 1.0, seed=1)
    assert histogram_bits(codes) < coded_bits(codes) < 1.03 * histogram_bits(codes)


def known_scale_bits(codes, scales):
    """Code length under the very law that `laplace` draws from."""
    whole = np.abs(codes)
    tail = np.exp(-(whole - 0.5) / scales) * (1 - np.exp(-1 / scales)) / 2
    return float(-np.log2(np.where(whole == 0, 1 - np.exp(-0.5 / scales), tail)).sum())


def test_scales_of_rows_and_columns_are_learned_for_a_few_percent():
    rng = np.random.default_rng(2)
    scales = np.exp(rng.normal(size=(256, 1))) * np.exp(rng.normal(size=(1, 256)))
    codes = laplace((256, 256), scales, seed=3)
    assert known_scale_bits(codes, scales) < coded_bits(codes) < min(1.06 * known_scale_bits(codes, scales), 0.87 * histogram_bits(codes))


def test_zeros_are_nearly_free():
    assert coded_bits(np.zeros((256, 256), np.int32)) < 0.01 * 256 * 256 + 400


def test_signs_that_follow_their_column_cost_less_than_a_bit():
    rng = np.random.default_rng(4)
    codes = np.where(rng.random((256, 64)) < 0.9, 1, -1) * rng.choice([-1, 1], 64)
    assert coded_bits(codes.astype(np.int32)) < 0.7 * codes.size


def test_bits_by_parameter_add_up_to_the_message():
    architecture = {"id": ID, "parameters": [{"name": f"w{k}", "shape": [64, 32], "use": "linear"} for k in range(3)]}
    tensors = {f"w{k}": CodedTensor(laplace((64, 32), 2.0, k), 0, np.zeros(64, np.int16), np.zeros(32, np.int16)) for k in range(3)}
    data, sizes = message.encode(tensors, architecture)
    frame = 8 * (4 + 16 + 1 + 4)
    assert abs(8 * len(data) - frame - sum(sizes.values())) < 96
    assert abs(message.ideal_bits(tensors, architecture["parameters"]) - 8 * len(data)) < 64


def test_the_order_of_the_architecture_decides_not_that_of_the_tensors():
    tensors = random_tensors(ARCHITECTURE)
    assert message.encode(dict(reversed(tensors.items())), ARCHITECTURE)[0] == message.encode(tensors, ARCHITECTURE)[0]


def test_a_message_cut_after_any_byte_is_refused():
    data, _ = message.encode(random_tensors(ARCHITECTURE), ARCHITECTURE)
    for length in range(len(data)):
        with pytest.raises(InputError):
            message.decode(data[:length], ARCHITECTURE)


def test_every_single_flipped_bit_is_refused():
    data, _ = message.encode(random_tensors(ARCHITECTURE), ARCHITECTURE)
    for place in range(8 * len(data)):
        altered = bytearray(data)
        altered[place // 8] ^= 1 << place % 8
        with pytest.raises(InputError):
            message.decode(bytes(altered), ARCHITECTURE)


def test_what_is_altered_behind_a_mended_checksum_is_refused_or_is_a_sound_model():
    data, _ = message.encode(random_tensors(ARCHITECTURE), ARCHITECTURE)
    rng, refused = np.random.default_rng(5), 0
    for _ in range(300):
        altered = bytearray(data[:-4])
        for place in rng.integers(20, len(altered), 2):
            altered[place] = rng.integers(0, 256)
        try:
            found = message.decode(sealed(bytes(altered)), ARCHITECTURE)
        except InputError:
            refused += 1
            continue
        assert all(np.isfinite(t.dequantize()).all() for t in found.values())
    assert refused > 0


@pytest.mark.parametrize("extra", [b"\0" * 4, b"\0", b"\1" * 400])
def test_trailing_bytes_are_refused(extra):
    data, _ = message.encode(random_tensors(ARCHITECTURE), ARCHITECTURE)
    with pytest.raises(InputError, match="checksum"):
        message.decode(data + extra, ARCHITECTURE)
    with pytest.raises(InputError, match="SBQ2"):
        message.decode(sealed(data[:-4] + extra), ARCHITECTURE)


def test_a_message_of_another_architecture_is_refused():
    data, _ = message.encode(random_tensors(ARCHITECTURE), ARCHITECTURE)
    with pytest.raises(InputError, match=f"architecture {ID}, expected {'f' * 32}"):
        message.decode(data, {**ARCHITECTURE, "id": "f" * 32})


@pytest.mark.parametrize("shape", [[2**20, 2**20], [2**31, 1], [2**31 - 1, 2**31 - 1]])
def test_a_huge_architecture_is_refused_before_anything_is_allocated(shape):
    architecture = {"id": ID, "parameters": [{"name": "w", "shape": shape, "use": "linear"}]}
    with pytest.raises(InputError, match="entries"):
        message.decode(sealed(message.MAGIC + bytes.fromhex(ID) + b"\3" + bytes(500)), architecture)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"codes": np.full((9, 5), 2 * LARGEST_CODE, np.int32)}, "a code beyond"),
        ({"codes": np.zeros((5, 9), np.int32)}, "the architecture has"),
        ({"base": 4000}, "step exponents"),
        ({"offset": 2}, "offset"),
        ({"row_exponents": np.zeros(3, np.int16)}, "exponents of shapes"),
    ],
)
def test_tensors_that_no_message_can_hold_are_refused(change, found):
    tensors = random_tensors(ARCHITECTURE)
    tensor = tensors["embed"]
    values = {part: getattr(tensor, part) for part in ("codes", "base", "row_exponents", "column_exponents", "offset")}
    with pytest.raises(InputError, match=found):
        message.encode({**tensors, "embed": CodedTensor(**{**values, **change})}, ARCHITECTURE)
