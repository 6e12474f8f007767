"""Collect the bounds of a family into one table, bounds.csv."""

import pandas as pd

from scalebound import atomic
from scalebound.provenance import file_sha256, identity, read_json


def add_arguments(parser):
    parser.add_argument("--bounds", required=True, nargs="+", help="bounds.json files")
    parser.add_argument("--out", required=True, help="bounds.csv")
    parser.add_argument("--out-identity", required=True, help="identity of the table")


def run(arguments):
    rows = [row(read_json(path, "bound")) for path in arguments.bounds]
    table = pd.DataFrame(rows).sort_values(["n_params", "n_tokens", "checkpoint", "quantizer"], kind="stable")
    made_of = identity("table", {path: path for path in arguments.bounds}, {}, packages=["pandas"])
    with atomic.replacing(arguments.out) as temporary:
        table.to_csv(temporary, index=False, float_format="%.10g", lineterminator="\n")
    atomic.write_json(arguments.out_identity, {"identity": made_of, "sha256": file_sha256(arguments.out)})
    print(f"{len(table)} rows in {arguments.out}")


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
    return line | {"sampled_windows": bounds["sampled_windows"]}
