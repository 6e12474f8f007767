"""The examples of docs/python.md, in their order, in one process: what a reader copies runs."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, GPTNeoXConfig, GPTNeoXForCausalLM

PAGE = Path(__file__).resolve().parents[3] / "docs/python.md"
EXAMPLE = re.compile(r"^## (.+?)\n.*?^```python\n(.*?)^```", re.M | re.S)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """{heading: names as they are after its example}, run in a folder with what the page says there is."""
    folder = tmp_path_factory.mktemp("python-page")
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 32}
    GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=64, **sizes)).save_pretrained(folder / "my-model")
    random = np.random.default_rng(0)
    pq.write_table(pa.table({"tokens": list(random.integers(0, 64, size=(480, 17)))}), folder / "rows.parquet")
    entropy = random.uniform(1, 3, size=(400, 64))
    np.save(folder / "entropy.npy", entropy)
    np.save(folder / "nll.npy", random.gamma(2, entropy / 2))
    names, after = {"__name__": "page"}, {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for heading, code in EXAMPLE.findall(PAGE.read_text(encoding="utf-8")):
            exec(compile(code, f"{PAGE.name}: {heading}", "exec"), names)
            after[heading] = dict(names, folder=folder)
    return after


def test_every_section_has_an_example_that_runs(ran):
    assert list(ran) == ["Bounds from two arrays", "A certificate from the same arrays", "A certificate of a local folder", "Decode a message", "Verify"]


def test_bounds_take_few_lines_and_are_ordered_as_theory_has_it(ran):
    lines = dict(EXAMPLE.findall(PAGE.read_text(encoding="utf-8")))["Bounds from two arrays"].splitlines()
    assert sum(not line.startswith(("import", "from")) and bool(line) for line in lines) <= 5
    names = ran["Bounds from two arrays"]
    values = [names["bounds"][name]["bound"] for name in ("geometric", "freedman", "paper")]
    assert names["nll"].mean() < values[0] < values[1] < values[2] < np.log(512)


def test_a_certificate_of_arrays_is_above_its_estimate(ran):
    certificate = ran["A certificate from the same arrays"]["certificate"]
    assert certificate["kind"] == "certificate"
    assert certificate["value"] > certificate["estimate"]["best"]["value"]
    assert sum(certificate["terms"].values()) == pytest.approx(certificate["value"])


def test_the_decoded_weights_are_those_of_the_folder_that_is_loaded(ran):
    names = ran["Decode a message"]
    model = AutoModelForCausalLM.from_pretrained(names["folder"] / "decoded-again", local_files_only=True)
    assert set(names["weights"]) == {name for name, _ in model.named_parameters()}
    assert all(np.array_equal(names["weights"][name], p.detach().numpy()) for name, p in model.named_parameters())
