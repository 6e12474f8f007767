"""Packed integers: the layout, exact round trips, and refusal of everything that `pack` does not write."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalebound.quantization import packing

WIDTHS = range(1, 9)


@st.composite
def integers_of_a_width(draw):
    bits = draw(st.integers(1, 8))
    return bits, draw(st.lists(st.integers(0, 2**bits - 1), max_size=70))


def as_one_number(values, bits):
    """The same layout by plain arithmetic: value k begins at bit k * bits of a little-endian number."""
    number = sum(value << (bits * k) for k, value in enumerate(values))
    return number.to_bytes((len(values) * bits + 7) // 8, "little")


@given(integers_of_a_width())
@settings(deadline=None)
def test_packing_is_one_little_endian_number_and_unpacks_to_the_same_values(case):
    bits, values = case
    data = packing.pack(np.array(values, dtype=np.uint8), bits)
    assert data == as_one_number(values, bits)
    found = packing.unpack(data, len(values), bits)
    assert found.dtype == np.uint8
    assert found.tolist() == values


@given(integers_of_a_width())
@settings(deadline=None)
def test_values_that_span_several_chunks_are_packed_as_in_one(case):
    bits, values = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "CHUNK", 8)
        data = packing.pack(np.array(values, dtype=np.uint8), bits)
        assert data == as_one_number(values, bits)
        assert packing.unpack(data, len(values), bits).tolist() == values


@pytest.mark.parametrize("bits", [1, 3, 8])
@pytest.mark.parametrize("extra", [-1, 0, 5])
def test_round_trip_around_the_real_chunk_length(bits, extra):
    values = np.random.default_rng(bits).integers(0, 2**bits, packing.CHUNK + extra, dtype=np.uint8)
    data = packing.pack(values, bits)
    assert len(data) == packing.packed_size(values.size, bits)
    assert np.array_equal(packing.unpack(data, values.size, bits), values)


def test_matrices_are_packed_row_by_row_also_when_transposed_in_memory():
    matrix = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert packing.pack(matrix.T, 4) == packing.pack(np.ascontiguousarray(matrix.T).reshape(-1), 4)


@pytest.mark.parametrize(("count", "bits", "size"), [(0, 5, 0), (1, 1, 1), (8, 1, 1), (9, 1, 2), (3, 3, 2), (8, 3, 3), (5, 7, 5), (4, 8, 4)])
def test_packed_size(count, bits, size):
    assert packing.packed_size(count, bits) == size


@pytest.mark.parametrize("bits", WIDTHS)
def test_every_padding_bit_that_is_set_is_refused(bits):
    for count in range(1, 17):
        data = packing.pack(np.zeros(count, dtype=np.uint8), bits)
        for place in range(count * bits, 8 * len(data)):
            altered = bytearray(data)
            altered[place // 8] |= 1 << place % 8
            with pytest.raises(ValueError, match="padding"):
                packing.unpack(bytes(altered), count, bits)


def test_padding_is_refused_in_the_last_of_several_chunks(monkeypatch):
    monkeypatch.setattr(packing, "CHUNK", 8)
    data = bytearray(packing.pack(np.zeros(19, dtype=np.uint8), 3))
    data[-1] |= 0x80
    with pytest.raises(ValueError, match="padding"):
        packing.unpack(bytes(data), 19, 3)


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("count", [0, 1, 8, 21])
def test_one_byte_too_many_or_too_few_is_refused(bits, count):
    data = packing.pack(np.zeros(count, dtype=np.uint8), bits)
    for wrong in [data + b"\0", *([data[:-1]] if data else [])]:
        with pytest.raises(ValueError, match=f"{len(wrong)} bytes for {count} values"):
            packing.unpack(wrong, count, bits)
