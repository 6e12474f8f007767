"""Of a folder that the user brings, the plan lists what will be read and nothing else."""

import json
from pathlib import Path

import pytest
import yaml

from scalebound.errors import InputError
from scalebound.plan.plan import Plan

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def plan(tmp_path):
    """names of files -> the plan of a configuration whose only row is a folder with them."""

    def make(*names, index=None):
        folder = tmp_path / "model"
        folder.mkdir()
        for name in names:
            (folder / name).touch()
        if index:
            (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict(enumerate(index))}))
        table = tmp_path / "rows.tsv"
        table.write_text(f"slug\tfamily\tsource\trepo\trevision\tstep\ttokens_seen\tstream\nmine\tmine\tlocal\t{folder}\t-\t1\t4000\tbrought\n")
        default = yaml.safe_load((ROOT / "config/config.yaml").read_text())
        brought = {"kind": "parquet", "path": "rows.parquet", "sha256": "0" * 64, "row_tokens": 17, "vocab_size": 64, "unbiased": True}
        value = default | {"families": ["mine"], "checkpoints": str(table), "streams": default["streams"] | {"brought": brought}}
        return Plan.from_configuration(value)

    return make


def inputs(plan):
    """Names of the files of the folder that the job reads."""
    job = plan.job("results/mine/mine/resolve/resolved.json")
    return [Path(path).name for path in job.inputs.values()]


def test_one_file_beside_foreign_ones(plan):
    made = plan("config.json", "model.safetensors", "consolidated.safetensors", "optimizer.safetensors", "pytorch_model.bin")
    assert inputs(made) == ["config.json", "model.safetensors"]


def test_shards_and_their_index(plan):
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert inputs(plan("config.json", *shards, "consolidated.safetensors", index=shards)) == ["config.json", "model.safetensors.index.json", *shards]


def test_a_folder_that_is_not_there_yet_is_planned_by_the_names_that_it_needs(plan):
    assert inputs(plan()) == ["config.json", "model.safetensors"]


def test_two_generations_are_refused_before_any_job(plan):
    with pytest.raises(InputError, match=r"model: holds model.safetensors beside model-00001-of-00001.safetensors, and either could be the model"):
        plan("config.json", "model.safetensors", "model-00001-of-00001.safetensors", index=["model-00001-of-00001.safetensors"])
