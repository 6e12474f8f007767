"""The paper's recipe is claimed where GPTQ covered the model, and nowhere else."""

import io

import pandas as pd
import pytest
from rich.console import Console

from scalebound.artifacts.family_tables import BOUNDS, CERTIFICATES, RECIPE_SHARE, read_family_table
from scalebound.commands import summary
from scalebound.commands.certificates import certificates_text
from scalebound.commands.table import row, table_text

FORM = {"bound": 5.0, "bound_sqrt": 5.1, "C": 0.1, "sigma": 0.3, "alpha": 0.1, "s": 0.5}
FORM |= {"terms": dict.fromkeys(("train_loss", "parameters_per_token", "loss_variation", "smoothing", "quantization_gap"), 0.1)}


def bounds(quantizer="gptq-4", share=1.0):
    """The content of a bounds.json."""
    forms = dict.fromkeys(("paper", "freedman", "geometric", "azuma"), FORM)
    counts = {"n_params": 1000, "n_tokens": 20_000, "vocab_size": 64, "sampled_windows": 8, "sampling": "unbiased", "kind": "estimate"}
    bits = {"nominal_bits_per_param": 4, "coded_bits_per_param": 4.5, "train_loss": 3.0, "quantized_loss": 3.1}
    forms |= {"online": None}
    of_draw = {"heldout": None, "later": []}
    return {"checkpoint": {"slug": "a"}, "quantizer": quantizer, **of_draw, "gptq_share": share, "nominal": forms, "coded": forms, **counts, **bits}


def certificates(share):
    made = {"checkpoint": {"slug": "a"}, "quantizer": "coded", "value": 4.0, "sampling": "unbiased", "coded_bits_per_param": 2.0, "share_of_training": 0.2}
    made |= {"estimate": {"best": {"value": 3.9}}, "terms": {"loss": 3.2}, "windows": {"pilot": 1, "rest": 9}}
    made |= {"also": [], "C": 0.1, "from": 0.0}
    made |= {"settings": {"method": "geometric", "stream_failure_probability": 0.005, "draw_failure_probability": 0.005}}
    return certificates_text([made], [row(bounds(share=share)), row(bounds("coded"))], "gptq-4")


def test_the_table_says_which_share_gptq_covered(tmp_path):
    (tmp_path / "bounds.csv").write_text(table_text([row(bounds(share=0.43)), row(bounds("rtn-4", 0.0))]))
    assert read_family_table(tmp_path / "bounds.csv", BOUNDS)["gptq_share"].tolist() == [0.43, 0.0]


@pytest.mark.parametrize(("share", "claimed"), [(1.0, True), (RECIPE_SHARE, True), (0.899, False)])
def test_certificates_are_compared_with_the_recipe_only_where_it_was_followed(share, claimed, tmp_path):
    (tmp_path / "certificates.csv").write_text(certificates(share))
    (line,) = read_family_table(tmp_path / "certificates.csv", CERTIFICATES).itertuples()
    assert (line.certificate, line.real_code_length) == (4.0, 5.0)
    if claimed:
        assert (line.paper_recipe, line.gap_ratio) == (5.0, 0.5)
    else:
        assert pd.isna([line.paper_recipe, line.gap_ratio]).all()


def printed(table):
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    return console.file.getvalue()


@pytest.mark.parametrize(("share", "claimed"), [(1.0, True), (0.43, False)])
def test_the_summary_marks_what_is_not_the_recipe(share, claimed, tmp_path):
    table = pd.DataFrame([row(bounds(share=share))])
    said = summary.about(table, "gptq-4")
    assert f"{share:.2f} of what layers multiply by GPTQ" in said
    assert ("not the paper's recipe" in said) == (not claimed)
    assert ("5.000*" in printed(summary.build(table, "gptq-4", "bounds.csv"))) == (not claimed)
    (tmp_path / "certificates.csv").write_text(certificates(share))
    shown = printed(summary.build_certificates(read_family_table(tmp_path / "certificates.csv", CERTIFICATES), "certificates.csv"))
    assert ("x 0.50" in shown) == claimed
    assert "nan" not in shown
