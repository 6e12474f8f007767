"""The plan of a run on released checkpoints, without a hub: what the configuration says, and sizes as far as they are known."""

import json
import socket
from pathlib import Path

import pytest
import yaml
from huggingface_hub import constants
from snakemake.utils import update_config

from scalebound import cli
from scalebound.plan.plan import Plan

ROOT = Path(__file__).resolve().parents[3]
COMMIT, REPO = "0" * 40, "EleutherAI/pythia-70m"


@pytest.fixture
def config():
    """The paper's preset, as the workflow hands it to the command."""
    value = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    update_config(value, yaml.safe_load((ROOT / "config/pythia.yaml").read_text()))
    value |= {"checkpoints": str(ROOT / "config/pythia.tsv"), "published": {}}
    return Plan.from_configuration(value).resolved_config("pythia")


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """Not one connection, and a cache of the test's own."""

    def refuse(*arguments):
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


def planned(config, results, capsys):
    """{checkpoint: cells} of the table that is printed, and the other lines."""
    assert cli.main(["paper-plan", "--offline", "--config", config, "--results", str(results)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    return {line[0]: line[1:] for line in lines if line[:1] and line[0].startswith("pythia-")}, [" ".join(line) for line in lines]


def located(results, size):
    """What was found out about the smallest model in an earlier run."""
    files = [{"path": "model.safetensors", "size": size, "sha256": "a" * 64}, {"path": "config.json", "size": 500, "git_blob": "b" * 40}]
    hub = {"repo": REPO, "revision": "step512", "step": 512, "commit": COMMIT, "files": files, "weights": ["model.safetensors"]}
    place = results / "pythia/pythia-70m/resolve/hub.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps({"identity": {"stage": "resolve-hub"}, "hub": hub}))


def test_rows_and_tokens_follow_from_the_configuration_alone(config, tmp_path, capsys):
    rows, lines = planned(config, tmp_path / "results", capsys)
    assert list(rows) == [f"pythia-{size}" for size in ("70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b")]
    # step, tokens seen, windows, and predictions of the model itself, of two quantized ones, and of the certificate
    assert rows["pythia-70m"] == ["512", "1.07B", "10000", "81.9M", "6", "nothing"]
    assert "Without the hub: sizes and hours of 8 of 8 checkpoints are not known" in lines
    assert not any("GB" in line for line in lines)


def test_what_was_found_out_before_is_shown(config, tmp_path, capsys):
    located(tmp_path / "results", size=10**9)
    rows, _ = planned(config, tmp_path / "results", capsys)
    assert rows["pythia-70m"] == ["512", "1.07B", "10000", "81.9M", "6", "1.0", "GB", "nothing"]
    assert rows["pythia-160m"] == ["2000", "4.19B", "10000", "81.9M", "6", "?", "nothing"]


def test_a_configuration_in_the_cache_gives_sizes_and_hours(config, tmp_path, capsys):
    from transformers import GPTNeoXConfig

    located(tmp_path / "results", size=10**9)
    snapshot = tmp_path / f"cache/models--{REPO.replace('/', '--')}/snapshots/{COMMIT}"
    sizes = {"hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8, "intermediate_size": 2048}
    GPTNeoXConfig(vocab_size=50304, **sizes).save_pretrained(snapshot)
    rows, lines = planned(config, tmp_path / "results", capsys)
    # 70.4 million parameters: 2 bytes each and a fifth more to score, twice for the reference; 5 bytes each of results
    assert rows["pythia-70m"][4:13] == ["6", "1.0", "GB", "0.3", "GB", "19.9", "GB", "0.7", "GB"]
    assert rows["pythia-160m"][5:12] == ["?"] * 7
    assert "Without the hub: sizes and hours of 7 of 8 checkpoints are not known" in lines
    assert any("hours in all, 1 GB to download" in line for line in lines)
