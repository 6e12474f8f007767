"""Collect the bounds of a family into one table, bounds.csv."""

import pandas as pd

from scalebound.artifacts.family_tables import ONLINE_TERMS
from scalebound.artifacts.provenance import read_json
from scalebound.commands.stage import Many
from scalebound.errors import InputError, first_line

GROUP = "bounds and certificates"

INPUTS = {"bounds": Many("bounds.json files")}
OUTPUTS = {"out": "bounds.csv"}
SETTINGS = None
PACKAGES = ["pandas"]


def compute(inputs, _):
    return {"out": table_text(map(read_bounds, inputs["bounds"]))}


def read_bounds(path):
    """The line of the table that a bounds.json gives. Raises InputError when it lacks one of the numbers."""
    content = read_json(path, "bound")
    try:
        line = row(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(path, f"no bounds of a checkpoint ({first_line(error)})", "Delete it and let snakemake make it again") from None
    odd = [name for name, value in line.items() if isinstance(value, (dict, list))]
    if odd:
        raise InputError(path, f"{odd[0]} {str(line[odd[0]])[:60]!r}", "Delete it and let snakemake make it again")
    return line


def table_text(lines):
    """bounds.csv as text: one row for each of the given lines, ordered by size, tokens and name."""
    table = pd.DataFrame(list(lines))
    table = table.sort_values(["n_params", "n_tokens", "checkpoint", "quantizer"], kind="stable")
    return table.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def column_part(start):
    """How columns about the positions from a share of the stream on end: `from_0_5`."""
    return f"from_{start:g}".replace(".", "_")


def row(bounds):
    """One line of the table. Columns without a suffix count b N bits as the paper does; `_coded` ones the real message."""
    nominal, coded = bounds["nominal"], bounds["coded"]
    line = {"checkpoint": bounds["checkpoint"]["slug"], "kind": bounds["kind"]}
    line |= {key: bounds[key] for key in ("n_params", "n_tokens", "vocab_size", "quantizer")}
    line |= {"bits": bounds["nominal_bits_per_param"]}
    line |= {key: bounds[key] for key in ("nominal_bits_per_param", "coded_bits_per_param", "train_loss", "quantized_loss")}
    # of the unquantized model, as train_loss is; not known of streams without held-out documents
    heldout = bounds["heldout"] or dict.fromkeys(("loss", "standard_error", "bound"))
    line |= {f"heldout_{name}": heldout[name] for name in ("loss", "standard_error", "bound")}
    line |= {f"train_loss_{column_part(part['from'])}": part["train_loss"] for part in bounds["later"]}
    line |= {key: nominal["paper"][key] for key in ("C", "sigma", "alpha")}
    line |= {"paper_bound": nominal["paper"]["bound"], "paper_bound_sqrt": nominal["paper"]["bound_sqrt"]}
    line |= {"freedman_bound": nominal["freedman"]["bound"], "geometric_bound": nominal["geometric"]["bound"], "azuma_bound": nominal["azuma"]["bound"]}
    line |= {f"term_{name}": value for name, value in nominal["paper"]["terms"].items() if name != "train_loss"}
    line |= {"freedman_alpha": nominal["freedman"]["alpha"], "freedman_s": nominal["freedman"]["s"], "azuma_alpha": nominal["azuma"]["alpha"]}
    line |= {"C_coded": coded["paper"]["C"], "sigma_coded": coded["paper"]["sigma"], "paper_bound_coded": coded["paper"]["bound"]}
    line |= {f"{name}_bound_coded": coded[name]["bound"] for name in ("freedman", "geometric", "azuma")}
    # of a checkpoint whose run left earlier models to compare with; the halves are those at the nominal length
    online = nominal["online"] or dict.fromkeys(("bound", *ONLINE_TERMS))
    line |= {"online_bound": online["bound"], "online_bound_coded": (coded["online"] or online)["bound"]} | {name: online[name] for name in ONLINE_TERMS}
    return line | {key: bounds[key] for key in ("sampled_windows", "sampling", "gptq_share")}
