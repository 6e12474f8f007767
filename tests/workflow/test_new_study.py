"""What CONTRIBUTING.md says of a new study: five files make one, which is then planned, run, drawn, reported, audited and tampered with."""

import subprocess
import sys

STUDY = '''"""Losses in bits: results/{family}/loss_bits.csv."""

from scalebound.plan.stages.family import TABLE, table
from scalebound.plan.study import Study


def rules(plan):
    return [table("loss-bits", "loss_bits.csv", inputs={"bounds": TABLE})]


STUDY = Study(("loss_bits.csv",), {"loss_bits": "loss_bits.csv"}, rules)
'''
COMMAND = '''"""The training losses of a family in bits per token: loss_bits.csv."""

import numpy as np

from scalebound.artifacts.family_tables import read_family_table

GROUP = "studies"
INPUTS = {"bounds": "bounds.csv of the family"}
OUTPUTS = {"out": "loss_bits.csv"}
SETTINGS = None
PACKAGES = ["numpy", "pandas"]


def compute(inputs, _):
    """loss_bits.csv: one row a checkpoint."""
    table = read_family_table(inputs["bounds"]).drop_duplicates("checkpoint")[["checkpoint", "n_params", "train_loss"]]
    return {"out": table.assign(bits=table["train_loss"] / np.log(2)).to_csv(index=False, float_format="%.10g", lineterminator="\\n")}
'''
FIGURE = '''"""Training loss in bits against parameters."""

from scalebound.artifacts.family_tables import Columns
from scalebound.figures import style

TABLE = Columns(("checkpoint",), ("n_params", "bits"))


def draw(table):
    with style.figure() as (drawn, axes):
        axes.plot(table["n_params"], table["bits"], "o")
        style.parameter_axis(axes, list(table["n_params"]))
        axes.set_ylabel("bits per token")
        return drawn
'''
CAPTION = """
{% if snakemake.wildcards.figure == "loss_bits" %}
Training loss in bits per token against the number of parameters.
{% endif %}
"""
TEST = """
import numpy as np
import pandas as pd

from scalebound.commands.loss_bits import compute


def test_a_nat_is_1_44_bits(bounds, tmp_path):
    (tmp_path / "bounds.csv").write_text(bounds)
    (tmp_path / "out.csv").write_text(compute({"bounds": tmp_path / "bounds.csv"}, None)["out"])
    table = pd.read_csv(tmp_path / "out.csv")
    np.testing.assert_allclose(table["bits"] * np.log(2), table["train_loss"], rtol=1e-9)
"""


def test_five_files_make_a_study(finished_copy):
    package = finished_copy.path("workflow/scalebound")
    for place, text in (("plan/studies", STUDY), ("commands", COMMAND), ("figures", FIGURE)):
        (package / place / "loss_bits.py").write_text(text)
    finished_copy.append("workflow/report/figures.rst", CAPTION)
    finished_copy.path("test_loss_bits.py").write_text(
        f"import pytest\n@pytest.fixture\ndef bounds():\n    return open({str(finished_copy.path('results/smoke/bounds.csv'))!r}).read()\n{TEST}"
    )
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", ".", "test_loss_bits.py"]
    tested = subprocess.run(words, cwd=finished_copy.folder, env={"PYTHONPATH": str(finished_copy.path("workflow"))}, capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout
    # nothing that is there already is made again
    assert {rule for rule, _ in finished_copy.pending("loss_bits")} == {"loss_bits_table", "figures"}
    done = finished_copy.snakemake("loss_bits")
    assert done.returncode == 0, done.stderr
    assert finished_copy.path("results/smoke/figures/loss_bits.png").stat().st_size > 1000
    assert finished_copy.scalebound("loss-bits", "--help").returncode == 0
    audited = finished_copy.scalebound("audit", "results")
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert "results/smoke/loss_bits.csv" in finished_copy.path("results/manifest.tsv").read_text()
    forge_a_cell(finished_copy)
    audited = finished_copy.scalebound("audit", "results")
    assert audited.returncode == 1
    assert "loss_bits.csv" in audited.stdout
    assert "from its inputs" in audited.stdout


def forge_a_cell(workspace):
    """An edited cell, with the identity and the run record made to fit: only computing it again shows it."""
    import json

    from scalebound.artifacts.provenance import file_sha256, record_digest

    table, listing, record = (workspace.path(f"results/smoke/loss_bits.{end}") for end in ("csv", "identity.json", "run.json"))
    first = table.read_text().splitlines()[1].split(",")
    table.write_text(table.read_text().replace(first[-1], "1.234", 1))
    content = json.loads(listing.read_text())
    content["files"][0]["sha256"] = file_sha256(table)
    listing.write_text(json.dumps(content))
    said = json.loads(record.read_text())
    said["outputs"] = {name: file_sha256(workspace.path(name)) for name in said["outputs"]}
    record.write_text(json.dumps(said | {"record_sha256": record_digest(said)}))
