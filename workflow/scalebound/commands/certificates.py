"""Collect a family's certificates, with the way from the paper's recipe to each: certificates.csv."""

from pathlib import Path

import pandas as pd

from scalebound import atomic
from scalebound.certificate_file import read_certificate
from scalebound.commands.table import read_bounds
from scalebound.errors import InputError
from scalebound.provenance import describe_files, identity


def add_arguments(parser):
    parser.add_argument("--certificates", required=True, nargs="+", help="certificate.json files")
    parser.add_argument("--bounds", required=True, nargs="+", help="bounds.json files of the same checkpoints")
    parser.add_argument("--paper-quantizer", required=True, help="the quantizer that the paper's recipe takes")
    parser.add_argument("--out", required=True, help="certificates.csv")
    parser.add_argument("--out-identity", required=True, help="identity of the table")


def run(arguments):
    certificates = [read_certificate(path) for path in arguments.certificates]
    text = certificates_text(certificates, [read_bounds(path) for path in arguments.bounds], arguments.paper_quantizer)
    inputs = {path: path for path in (*arguments.certificates, *arguments.bounds)}
    made_of = identity("certificates", inputs, {"paper_quantizer": arguments.paper_quantizer}, packages=["pandas"])
    atomic.write_bytes(arguments.out, text.encode())
    out = Path(arguments.out)
    atomic.write_json(arguments.out_identity, {"identity": made_of, "files": describe_files(out.parent, [out.name])})
    print(f"{len(certificates)} certificates in {arguments.out}")
    return [arguments.out, arguments.out_identity]


def certificates_text(certificates, bounds, paper_quantizer):
    """certificates.csv as text, one row a checkpoint, by size, from certificate.json contents and lines of bounds.csv.

    `true_risk` is known only where an oracle made the stream.
    """
    found = {(line["checkpoint"], line["quantizer"]): line for line in bounds}
    rows = [_row(certificate, found, paper_quantizer) for certificate in certificates]
    table = pd.DataFrame(rows).sort_values(["n_params", "n_tokens", "checkpoint"], kind="stable")
    return table.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def _row(certificate, bounds, paper_quantizer):
    slug, certified = certificate["checkpoint"]["slug"], certificate["quantizer"]
    try:
        paper, own = bounds[slug, paper_quantizer], bounds[slug, certified]
    except KeyError as error:
        raise InputError("certificates", f"no bounds of {error}", "Run both quantizers for every checkpoint") from None
    loss, recipe, value = own["train_loss"], paper["freedman_bound"], certificate["value"]
    return {
        "checkpoint": slug,
        "sampling": certificate["sampling"],
        "n_params": own["n_params"],
        "n_tokens": own["n_tokens"],
        "quantizer": certified,
        "train_loss": loss,
        # the paper's recipe, then one change after the other
        "paper_recipe": recipe,
        "real_code_length": paper["freedman_bound_coded"],
        "geometric": paper["geometric_bound_coded"],
        "shorter_code": own["geometric_bound_coded"],
        "estimate": certificate["estimate"]["best"]["value"],
        "certificate": value,
        "gap_ratio": (value - loss) / (recipe - loss),
        "coded_bits_per_param": certificate["coded_bits_per_param"],
        "decoded_loss": certificate["terms"]["loss"],
        "windows": certificate["windows"]["pilot"] + certificate["windows"]["rest"],
        "failure_probability": certificate["settings"]["stream_failure_probability"] + certificate["settings"]["draw_failure_probability"],
        "true_risk": None,
    }
