"""Safetensors files written a tensor at a time: the bytes are those of the library."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from scalebound.artifacts.tensors import Later, write_tensors

TYPES = ("bool", "uint8", "int8", "int16", "uint16", "float16", "int32", "uint32", "float32", "float64", "int64", "uint64")


def arrays():
    rng, shapes = np.random.default_rng(0), ((), (0, 3), (5,), (2, 3), (3, 1, 2))
    return {f'{shape} of {name}, ünlike "a\\b"': rng.integers(0, 2, shape).astype(name) for name in TYPES for shape in shapes}


@pytest.mark.parametrize("metadata", [{"format": "pt"}, {"identity": '{"a": "ü\\n\\u0007\x07\x7f"}'}])
def test_the_bytes_are_those_of_the_library(metadata, tmp_path):
    save_file(arrays(), tmp_path / "theirs", metadata=metadata)
    write_tensors(tmp_path / "ours", arrays(), metadata)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_arrays_are_made_one_at_a_time_when_they_are_written(tmp_path):
    made = []

    def later(name, array):
        return Later(array.dtype, array.shape, lambda: made.append(name) or array)

    given = {"b": np.arange(6.0).reshape(2, 3), "a": np.arange(4, dtype=np.uint8)}
    lazy = {name: later(name, array) for name, array in given.items()}
    assert not made
    write_tensors(tmp_path / "x.safetensors", lazy, {})
    assert made == ["b", "a"]
    assert all(np.array_equal(array, given[name]) for name, array in load_file(tmp_path / "x.safetensors").items())


def test_a_view_that_lies_transposed_comes_back_as_it_is(tmp_path):
    given = np.arange(6, dtype=np.float32).reshape(2, 3).T
    write_tensors(tmp_path / "x.safetensors", {"a": given}, {})
    assert np.array_equal(load_file(tmp_path / "x.safetensors")["a"], given)


def test_nothing_appears_when_an_array_cannot_be_made(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_tensors(tmp_path / "x.safetensors", {"a": Later(np.float32, (1,), lambda: 1 / 0)}, {})
    assert not list(tmp_path.iterdir())
