"""A family's bounds beside published ones: rows that only one side has, and tables that are none."""

import io

import pandas as pd
import pytest

from scalebound.commands.compare import PUBLISHED, comparison_text, read_published
from scalebound.errors import InputError

HEADER = "\t".join(PUBLISHED)


def ours(*rows):
    """(checkpoint, n_params, quantizer, loss, paper, azuma)."""
    columns = ["checkpoint", "n_params", "quantizer", "train_loss", "paper_bound", "azuma_bound"]
    return pd.DataFrame(rows, columns=columns).assign(n_tokens=1000, sampling="unbiased", gptq_share=1.0)


def published(tmp_path, *lines):
    path = tmp_path / "published.tsv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return read_published(path)


def compared(bounds, values, quantizer="gptq-4"):
    return pd.read_csv(io.StringIO(comparison_text(bounds, values, quantizer)))


def test_differences_are_ours_less_the_published_for_the_named_quantizer_alone(tmp_path):
    bounds = ours(("a", 10, "gptq-4", 2.0, 5.0, 7.0), ("a", 10, "rtn-4", 9.0, 9.0, 9.0))
    (row,) = compared(bounds, published(tmp_path, "a\t2.5\t4.75\t7")).itertuples()
    assert (row.checkpoint, row.status, row.n_params, row.n_tokens, row.sampling) == ("a", "compared", 10, 1000, "unbiased")
    assert (row.train_loss_published, row.train_loss, row.train_loss_difference) == (2.5, 2.0, -0.5)
    assert (row.paper_bound_difference, row.azuma_bound_difference) == (0.25, 0.0)


def test_rows_of_one_side_stay_with_empty_cells(tmp_path):
    bounds = ours(("big", 30, "gptq-4", 1.0, 2.0, 3.0), ("small", 10, "gptq-4", 1.0, 2.0, 3.0), ("both", 20, "gptq-4", 1.0, 2.0, 3.0))
    table = compared(bounds, published(tmp_path, "absent\t1\t2\t3", "both\t1\t2\t3")).set_index("checkpoint")
    # published first, in the order of their table; then ours by size
    assert table["status"].to_dict() == {"absent": "missing", "both": "compared", "small": "not published", "big": "not published"}
    assert list(table.index) == ["absent", "both", "small", "big"]
    assert table.loc["absent", ["n_params", "train_loss", "paper_bound_difference"]].isna().all()
    assert table.loc["small", ["train_loss_published", "paper_bound_difference"]].isna().all()
    assert table.loc["small", "paper_bound"] == 2.0


def test_bounds_of_a_model_that_gptq_covered_too_little_of_are_not_compared(tmp_path):
    bounds = ours(("most", 10, "gptq-4", 2.0, 5.0, 7.0), ("part", 20, "gptq-4", 2.0, 5.0, 7.0)).assign(gptq_share=[0.9, 0.89])
    most, part = compared(bounds, published(tmp_path, "most\t2\t4\t7", "part\t2\t4\t7")).itertuples()
    assert (most.status, most.paper_bound, most.paper_bound_difference) == ("compared", 5.0, 1.0)
    assert (part.status, part.train_loss, part.train_loss_difference) == ("other recipe", 2.0, 0.0)
    assert pd.isna([part.paper_bound, part.azuma_bound, part.paper_bound_difference]).all()
    assert bounds["paper_bound"].tolist() == [5.0, 5.0]


def test_counts_stay_whole_where_a_row_is_missing(tmp_path):
    text = comparison_text(ours(("a", 123456789, "gptq-4", 1.0, 2.0, 3.0)), published(tmp_path, "a\t1\t2\t3", "b\t1\t2\t3"), "gptq-4")
    assert text.splitlines()[1].startswith("a,compared,123456789,1000,")
    assert text.splitlines()[2].startswith("b,missing,,,")


def test_a_value_that_was_not_published_stays_empty(tmp_path):
    (row,) = compared(ours(("a", 1, "gptq-4", 1.0, 2.0, 3.0)), published(tmp_path, "a\t1\t2\t")).itertuples()
    assert pd.isna(row.azuma_bound_published)
    assert pd.isna(row.azuma_bound_difference)
    assert row.azuma_bound == 3.0


def test_comments_are_skipped(tmp_path):
    assert list(published(tmp_path, "# from table 1", "a\t1\t2\t3")["checkpoint"]) == ["a"]


def test_columns_go_by_their_names(tmp_path):
    path = tmp_path / "published.tsv"
    path.write_text("Azuma_bound\tcheckpoint\ttrain_loss\tpaper_bound\n3\ta\t1\t2\n")
    assert read_published(path).to_dict("list") == {"checkpoint": ["a"], "train_loss": [1.0], "paper_bound": [2.0], "azuma_bound": [3.0]}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (None, "no such file"),
        ("", "empty table"),
        ("checkpoint\ttrain_loss\tpaper_bound\n", "column 'azuma_bound' is missing"),
        (HEADER + "\tcolour\n", "colour"),
        (HEADER + "\na\tx\t2\t3\n", "line 2: train_loss 'x'"),
        (HEADER + "\na\t1\t2\t3\nb\t1\t2,5\t3\n", "line 3: paper_bound '2,5'"),
        (HEADER + "\na\tinf\t2\t3\n", "line 2: train_loss 'inf'"),
        (HEADER + "\na\t1\t2\t3\na\t1\t2\t3\n", "a checkpoint occurs twice"),
        (HEADER.replace("\t", ",") + "\na,1,2,3\n", "its columns are separated by commas"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, text, named):
    path = tmp_path / "published.tsv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=r"published\.tsv") as error:
        read_published(path)
    assert named in str(error.value)
