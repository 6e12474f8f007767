"""`codes.safetensors`: the integers come back as they were, and unreadable files are refused."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from scalebound.errors import InputError
from scalebound.quantization import storage
from scalebound.quantization.integers import IntegerTensor


def random_tensor(rows, columns, bits, group):
    rng, groups = np.random.default_rng(rows), -(-columns // group)
    codes, zeros = (rng.integers(0, 2**bits, shape, dtype=np.uint8) for shape in ((rows, columns), (rows, groups)))
    return IntegerTensor(codes, rng.normal(size=(rows, groups)).astype(np.float16), zeros, bits, group)


@pytest.fixture
def tensors():
    # names that end as the parts of a tensor do
    return {
        "a.weight": random_tensor(3, 7, 2, 7),
        "b.codes": random_tensor(1, 9, 8, 4),
        "b": random_tensor(4, 3, 5, 3),
        "c": replace(random_tensor(4, 3, 5, 3), seed=2**32 - 1),
    }


def assert_same(found, tensors):
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        assert (found[name].bits, found[name].group) == (tensor.bits, tensor.group)
        assert found[name].seed == tensor.seed
        for part in ("codes", "scales", "zeros"):
            stored = getattr(found[name], part)
            assert stored.dtype == getattr(tensor, part).dtype
            assert np.array_equal(stored, getattr(tensor, part))


def test_integers_and_grids_come_back(tensors, tmp_path):
    storage.write(tmp_path / "codes.safetensors", tensors, {"stage": "quantize"})
    assert_same(storage.read(tmp_path / "codes.safetensors"), tensors)


def test_integers_that_lie_transposed_in_memory_come_back(tmp_path):
    # as the codes of a Conv1D weight do
    row_major = random_tensor(4, 3, 5, 1)
    turned = IntegerTensor(*(np.asfortranarray(x) for x in (row_major.codes, row_major.scales, row_major.zeros)), 5, 1)
    storage.write(tmp_path / "codes.safetensors", {"c": turned}, {"stage": "quantize"})
    assert_same(storage.read(tmp_path / "codes.safetensors"), {"c": row_major})


def test_equal_integers_make_equal_files(tensors, tmp_path):
    for k in range(8):
        storage.write(tmp_path / str(k), tensors, {"stage": "quantize"})
    assert len({(tmp_path / str(k)).read_bytes() for k in range(8)}) == 1


def test_a_truncated_file_is_refused(tensors, tmp_path):
    path = tmp_path / "codes.safetensors"
    storage.write(path, tensors, {"stage": "quantize"})
    whole = path.read_bytes()
    for length in [0, 4, 8, 100, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="not a file of"):
            storage.read(path)


def test_a_missing_file_and_one_without_grids_are_refused(tmp_path):
    with pytest.raises(InputError, match="not a file of"):
        storage.read(tmp_path / "none.safetensors")
    save_file({"w": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="not a file of"):
        storage.read(tmp_path / "other.safetensors")


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, True, "1", [1]])
def test_a_seed_that_is_none_is_refused(seed, tensors, tmp_path):
    storage.write(tmp_path / "codes.safetensors", {"a": replace(tensors["b"], seed=seed)}, {"stage": "quantize"})
    with pytest.raises(InputError, match="seed"):
        storage.read(tmp_path / "codes.safetensors")
