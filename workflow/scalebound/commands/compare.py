"""Put a family's bounds beside published ones of the same checkpoints: comparison.csv."""

from scalebound.artifacts.family_tables import read_family_table
from scalebound.artifacts.parquet import write_text_table
from scalebound.artifacts.provenance import identity
from scalebound.configuration.tab_separated import read_tab_separated
from scalebound.errors import InputError

QUANTITIES = ("train_loss", "paper_bound", "azuma_bound")
PUBLISHED = ["checkpoint", *QUANTITIES]


def add_arguments(parser):
    parser.add_argument("--table", required=True, help="bounds.csv of the family")
    parser.add_argument("--published", required=True, help="tab-separated: checkpoint, train_loss, paper_bound, azuma_bound")
    parser.add_argument("--quantizer", required=True, help="the quantizer whose rows are compared")
    parser.add_argument("--out", required=True, help="comparison.csv")
    parser.add_argument("--out-identity", required=True, help="identity of the table")


def run(arguments):
    text = comparison_text(read_family_table(arguments.table), read_published(arguments.published), arguments.quantizer)
    inputs = {"table": arguments.table, "published": arguments.published}
    made_of = identity("compare", inputs, {"quantizer": arguments.quantizer}, packages=["pandas"])
    print(f"{text.count(chr(10)) - 1} checkpoints in {arguments.out}")
    return write_text_table(arguments.out, arguments.out_identity, text, made_of)


def read_published(path):
    """Published values, one row a checkpoint. Raises InputError when a column is missing or a value no number."""
    table = read_tab_separated(path, PUBLISHED, QUANTITIES)
    if table["checkpoint"].duplicated().any():
        raise InputError(path, "a checkpoint occurs twice", "Correct the table")
    return table


def comparison_text(bounds, published, quantizer):
    """comparison.csv as text: every published checkpoint and every one of ours, in the order of size.

    `status` is `compared`, `missing` (published, not run) or `not published`; cells of what is not there stay empty.
    """
    ours = bounds[bounds["quantizer"] == quantizer].sort_values("n_params", kind="stable")
    ours = ours[["checkpoint", "n_params", "n_tokens", "sampling", *QUANTITIES]]
    merged = published.merge(ours, on="checkpoint", how="outer", suffixes=("_published", ""), indicator=True, sort=False)
    merged["status"] = merged.pop("_merge").map({"both": "compared", "left_only": "missing", "right_only": "not published"}).astype(str)
    for name in QUANTITIES:
        merged[f"{name}_difference"] = merged[name] - merged[f"{name}_published"]
    merged[["n_params", "n_tokens"]] = merged[["n_params", "n_tokens"]].astype("Int64")
    order = [*published["checkpoint"], *(name for name in ours["checkpoint"] if name not in set(published["checkpoint"]))]
    merged = merged.set_index("checkpoint").loc[order].reset_index()
    columns = [f"{name}{suffix}" for name in QUANTITIES for suffix in ("_published", "", "_difference")]
    return merged[["checkpoint", "status", "n_params", "n_tokens", "sampling", *columns]].to_csv(index=False, float_format="%.10g", lineterminator="\n")
