"""Captions of the HTML report are reStructuredText made from templates: whatever the names in the configuration, none is read as other markup."""

import re
from pathlib import Path
from types import SimpleNamespace

import docutils.core
import jinja2
import pytest
import yaml

from scalebound.plan.stages.figures import table_of_each

ROOT = Path(__file__).resolve().parents[3]
CAPTIONS = sorted((ROOT / "workflow/report").glob("*.rst"))
PLACES = [(path, {}) for path in CAPTIONS if path.name != "figures.rst"]
PLACES += [(ROOT / "workflow/report/figures.rst", {"figure": figure}) for figure in table_of_each()]


@pytest.mark.parametrize(("path", "wildcards"), PLACES, ids=lambda place: place.stem if isinstance(place, Path) else place.get("figure", ""))
def test_a_caption_is_what_it_says(path, wildcards):
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    # names that a user may give, and that docutils would take for a reference
    config |= {"paper_quantizer": "gptq_", "quantize_with": ["rtn_", "gptq_"]}
    config["certificate"]["quantizer"] = "coded_"
    config |= {"studies": {"extrapolation": {"nominal_bits": 4.0}}}
    snakemake = SimpleNamespace(wildcards=wildcards, config=config)
    text = jinja2.Template(path.read_text(), undefined=jinja2.StrictUndefined).render(snakemake=snakemake)
    assert len(text.split()) > 20
    # every remark of docutils is an error here
    made = docutils.core.publish_parts(text, writer="html", settings_overrides={"report_level": 1, "halt_level": 1})["body"]
    # one backtick makes a title of a name
    assert "<cite>" not in made
    assert "{{" not in made
    assert re.sub(r"\s+", " ", made).count("<p>") == 1
