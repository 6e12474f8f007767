"""Which files of a folder are the model: one answer, or one message."""

import json
import subprocess
import sys

import pytest

from scalebound.artifacts.model_files import model_files
from scalebound.errors import InputError

SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
INDEX = "model.safetensors.index.json"
# what lies beside models and is none: the same weights for other programs, of other formats, of other parts of a training run
FOREIGN = ["consolidated.safetensors", "adapter_model.safetensors", "model.fp16.safetensors", "optimizer.safetensors", "pytorch_model.bin", ".DS_Store"]


@pytest.fixture
def folder(tmp_path):
    """(names, shards of the index) -> the folder with these files, empty but for the index."""

    def make(*names, index=None):
        for name in names:
            (tmp_path / name).touch()
        if index is not None:
            (tmp_path / INDEX).write_text(index if isinstance(index, str) else json.dumps({"weight_map": {str(k): name for k, name in enumerate(index)}}))
        return tmp_path

    return make


def test_one_file(folder):
    assert model_files(folder("config.json", "model.safetensors", *FOREIGN)) == ["config.json", "model.safetensors"]


def test_shards_of_an_index(folder):
    assert model_files(folder("config.json", *SHARDS, *FOREIGN, index=[*SHARDS, SHARDS[0]])) == ["config.json", INDEX, *SHARDS]


def test_an_index_of_a_single_file(folder):
    """Some programs always write one."""
    assert model_files(folder("config.json", "model.safetensors", index=["model.safetensors"])) == ["config.json", INDEX, "model.safetensors"]


def test_without_weights_the_missing_name_is_given(folder, tmp_path):
    assert model_files(folder("config.json", "pytorch_model.bin")) == ["config.json", "model.safetensors"]
    assert model_files(tmp_path / "none") == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("more", "index", "named"),
    [
        (["model.safetensors"], SHARDS, "model.safetensors beside model-00001-of-00002.safetensors"),
        (["model-00001-of-00003.safetensors"], SHARDS, "model-00001-of-00003.safetensors beside model-00001-of-00002.safetensors"),
        (["model.safetensors"], None, "model-00001-of-00002.safetensors beside model.safetensors"),
        (["shard-00000-model-00001-of-00001.safetensors"], SHARDS, "shard-00000-model-00001-of-00001.safetensors beside"),
        (["adapter_config.json"], SHARDS, "adapter_config.json beside model-00001-of-00002.safetensors"),
    ],
)
def test_two_answers_are_an_error(folder, more, index, named):
    place = folder("config.json", *SHARDS, *more, index=index)
    with pytest.raises(InputError, match=f"holds {named}.*, and either could be the model. Leave the files of one model") as error:
        model_files(place)
    assert error.value.where == str(place)


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ("{", "not an index of weight files"),
        ('{"a":' * 100_000, "not an index of weight files"),
        ("[]", "not an index of weight files"),
        ('{"weight_map": {}}', "names nothing"),
        (["weights.pkl"], "names weights.pkl"),
        (["../model.safetensors"], r"names \.\./model.safetensors"),
        (["model-00001-of-00001.safetensors"], "model-00001-of-00001.safetensors is not beside it"),
    ],
)
def test_an_index_that_is_none_is_refused(folder, index, words):
    place = folder("config.json", "weights.pkl", index=index)
    with pytest.raises(InputError, match=words) as error:
        model_files(place)
    assert error.value.where == str(place / INDEX)


def test_it_can_be_asked_without_torch():
    code = "import sys, scalebound.artifacts.model_files; sys.exit(bool({'torch', 'huggingface_hub'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
