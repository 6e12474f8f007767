"""What rounding costs against bits per parameter, for every quantizer of a family that takes a number of bits: quantizability.csv."""

from scalebound.artifacts.family_tables import Columns, read_family_table
from scalebound.artifacts.parquet import write_text_table
from scalebound.artifacts.provenance import identity
from scalebound.commands.arguments import read_json_option
from scalebound.errors import InputError

LOSSES = Columns(("checkpoint", "quantizer"), ("n_params", "n_tokens", "nominal_bits_per_param", "coded_bits_per_param", "train_loss", "quantized_loss"))


def add_arguments(parser):
    parser.add_argument("--table", required=True, help="bounds.csv of the family")
    parser.add_argument("--methods", required=True, metavar="JSON", help="{quantizer: method} of those to take")
    parser.add_argument("--out", required=True, help="quantizability.csv")
    parser.add_argument("--out-identity", required=True, help="identity of the table")


def run(arguments):
    methods = read_json_option(arguments.methods, dict[str, str], "--methods")
    text = quantizability_text(read_family_table(arguments.table, LOSSES), methods, arguments.table)
    made_of = identity("quantizability", {"table": arguments.table}, {"methods": methods}, packages=["pandas"])
    print(f"{text.count(chr(10)) - 1} rows in {arguments.out}")
    return write_text_table(arguments.out, arguments.out_identity, text, made_of)


def quantizability_text(bounds, methods, where="bounds.csv"):
    """quantizability.csv as text, from bounds.csv and {quantizer: method}; `increase` is in nats per token, on the same windows.

    Raises:
        InputError: no row of any of the quantizers.
    """
    table = bounds[bounds["quantizer"].isin(list(methods))]
    if table.empty:
        raise InputError(where, f"no row of {', '.join(sorted(methods)) or 'a quantizer with a number of bits'}", "Add one to quantize_with")
    table = table.assign(method=table["quantizer"].map(methods), increase=table["quantized_loss"] - table["train_loss"])
    table = table.sort_values(["method", "n_params", "n_tokens", "checkpoint", "nominal_bits_per_param"], kind="stable")
    columns = ["checkpoint", "n_params", "n_tokens", "quantizer", "method", "nominal_bits_per_param", "coded_bits_per_param"]
    return table[[*columns, "train_loss", "quantized_loss", "increase"]].to_csv(index=False, float_format="%.10g", lineterminator="\n")
