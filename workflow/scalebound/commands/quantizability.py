"""What rounding costs against bits per parameter, for every quantizer of a family that takes a number of bits: quantizability.csv."""

from scalebound.artifacts.family_tables import Columns, read_family_table
from scalebound.configuration.types import Model, Slug
from scalebound.errors import InputError

GROUP = "studies"

LOSSES = Columns(("checkpoint", "quantizer"), ("n_params", "n_tokens", "nominal_bits_per_param", "coded_bits_per_param", "train_loss", "quantized_loss"))


INPUTS = {"table": "bounds.csv of the family"}
OUTPUTS = {"out": "quantizability.csv"}
PACKAGES = ["pandas"]


class Settings(Model):
    """{quantizer: method} of those to take."""

    methods: dict[Slug, str]


SETTINGS = Settings


def compute(inputs, settings):
    return {"out": quantizability_text(read_family_table(inputs["table"], LOSSES), settings.methods, inputs["table"])}


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
