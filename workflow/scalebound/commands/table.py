"""Collect the bounds of a family into one table, bounds.csv."""

from pathlib import Path

import pandas as pd

from scalebound import atomic
from scalebound.provenance import describe_files, identity, read_json


def add_arguments(parser):
    parser.add_argument("--bounds", required=True, nargs="+", help="bounds.json files")
    parser.add_argument("--out", required=True, help="bounds.csv")
    parser.add_argument("--out-identity", required=True, help="identity of the table")


def run(arguments):
    text = table_text([read_json(path, "bound") for path in arguments.bounds])
    made_of = identity("table", {path: path for path in arguments.bounds}, {}, packages=["pandas"])
    atomic.write_bytes(arguments.out, text.encode())
    out = Path(arguments.out)
    atomic.write_json(arguments.out_identity, {"identity": made_of, "files": describe_files(out.parent, [out.name])})
    print(f"{len(arguments.bounds)} rows in {arguments.out}")
    return [arguments.out, arguments.out_identity]


def table_text(bounds):
    """bounds.csv as text: one row for each of the given bounds.json contents, ordered by size, tokens and name."""
    table = pd.DataFrame([row(content) for content in bounds])
    table = table.sort_values(["n_params", "n_tokens", "checkpoint", "quantizer"], kind="stable")
    return table.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def row(bounds):
    """One line of the table. Columns without a suffix count b N bits as the paper does; `_coded` ones the real message."""
    nominal, coded = bounds["nominal"], bounds["coded"]
    line = {"checkpoint": bounds["checkpoint"]["slug"], "kind": bounds["kind"]}
    line |= {key: bounds[key] for key in ("n_params", "n_tokens", "vocab_size", "quantizer")}
    line |= {"bits": bounds["nominal_bits_per_param"]}
    line |= {key: bounds[key] for key in ("nominal_bits_per_param", "coded_bits_per_param", "train_loss", "quantized_loss")}
    line |= {key: nominal["paper"][key] for key in ("C", "sigma", "alpha")}
    line |= {"paper_bound": nominal["paper"]["bound"], "paper_bound_sqrt": nominal["paper"]["bound_sqrt"]}
    line |= {"freedman_bound": nominal["freedman"]["bound"], "azuma_bound": nominal["azuma"]["bound"]}
    line |= {f"term_{name}": value for name, value in nominal["paper"]["terms"].items() if name != "train_loss"}
    line |= {"freedman_alpha": nominal["freedman"]["alpha"], "freedman_s": nominal["freedman"]["s"], "azuma_alpha": nominal["azuma"]["alpha"]}
    line |= {"C_coded": coded["paper"]["C"], "sigma_coded": coded["paper"]["sigma"], "paper_bound_coded": coded["paper"]["bound"]}
    line |= {"freedman_bound_coded": coded["freedman"]["bound"], "azuma_bound_coded": coded["azuma"]["bound"]}
    return line | {"sampled_windows": bounds["sampled_windows"], "sampling": bounds["sampling"]}
