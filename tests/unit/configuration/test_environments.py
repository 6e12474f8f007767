"""The environment for conda holds what the lock holds: pip is handed that one file, wherever it was copied to."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]


def test_the_conda_environment_holds_the_pins_of_the_lock():
    (listed,) = (entry["pip"] for entry in yaml.safe_load((ROOT / "envs/scalebound.yaml").read_text())["dependencies"] if isinstance(entry, dict))
    lock, makefile = (ROOT / "envs/requirements.txt").read_text(), (ROOT / "Makefile").read_text()
    pins = re.findall(r"^([a-z0-9].*?) *\\$", lock, re.MULTILINE)
    apart = re.findall(r"^(?:TORCH|ACCELERATE) := (.*)$", makefile, re.MULTILINE)
    assert len(pins) > 100
    assert listed == apart + pins


def test_it_names_no_file_and_no_hash():
    assert not re.search(r"-r\b|--|\.txt", (ROOT / "envs/scalebound.yaml").read_text())
