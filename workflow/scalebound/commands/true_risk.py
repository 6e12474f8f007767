"""The true conditional risk of a checkpoint on an oracle stream, beside its certificate: true_risk.json.

Computed over every row that the checkpoint saw, by the oracle's own conditional distributions: the mean that the certificate
bounds, not an estimate of it.
"""

import dataclasses
from pathlib import Path

from scalebound.artifacts import atomic
from scalebound.artifacts.certificate import read_certificate, statements
from scalebound.artifacts.provenance import check_keys, file_sha256, identity
from scalebound.commands.generate import FILES
from scalebound.corpus.rows import open_rows
from scalebound.errors import InputError
from scalebound.scoring import sampling

GROUP = "bounds and certificates"

# standard errors by which the oracle's own loss may miss its entropy before the stream is taken for another's
SUSPICIOUS = 6.0


def add_arguments(parser):
    parser.add_argument("--oracle", required=True, help="folder of the oracle: config.json and model.safetensors")
    parser.add_argument("--tokens", required=True, help="tokens.bin")
    parser.add_argument("--stream", required=True, help="stream.json")
    parser.add_argument("--model", required=True, help="resolved.json")
    parser.add_argument("--decoded", required=True, help="decoded.json")
    parser.add_argument("--certificate", required=True, help="certificate.json, which says how the decoded model is smoothed")
    parser.add_argument("--out", required=True, help="true_risk.json")


def run(arguments):
    import torch

    from scalebound.models import files, loading
    from scalebound.oracle.loading import load_oracle
    from scalebound.oracle.true_risk import true_risk

    # one thread: a sum's order, and with it every bit of the result, does not depend on the machine's load
    torch.set_num_threads(1)
    rows, stream = open_rows(arguments.tokens, arguments.stream)
    _check_origin(stream, arguments)
    certificate = _read_certificate(arguments.certificate)
    seen = sampling.rows_to_draw_from(rows, certificate["tokens"])
    oracle, oracle_causality = load_oracle(arguments.oracle, rows.vocab_size, rows.row_tokens)
    trained, decoded = (files.read_description(path) for path in (arguments.model, arguments.decoded))
    loaded = [loading.load_described(description, torch.device("cpu"), "float32", rows.row_tokens - 1) for description in (trained, decoded)]
    alpha, tokens = certificate["choice"]["point"]["alpha"], rows.read(range(seen))
    also = [(other["choice"]["point"]["alpha"], other["first_row"]) for other in certificate["also"]]
    found, others = true_risk(oracle, *(model for model, _ in loaded), tokens, alpha, also, f"true risk {arguments.model}")
    _check_source(found, arguments)
    made_of = identity(
        "true-risk",
        _inputs(arguments),
        {},
        packages=["numpy", "torch", "transformers"],
        model_files=trained["files"],
        device="cpu",
        dtype="float32",
        threads=1,
        causality=[oracle_causality, *(causality for _, causality in loaded)],
    )
    value = {"rows": seen, "tokens": seen * (rows.row_tokens - 1), "alpha": alpha, "vocab_size": rows.vocab_size, "means": dataclasses.asdict(found)}
    value |= {"checkpoint": trained["checkpoint"], "value": found.smoothed_risk, "certificate": certificate["value"]}
    value |= {"also": [_beside(other, risk) for other, risk in zip(certificate["also"], others, strict=True)]}
    atomic.write_json(arguments.out, {"identity": made_of, **value, "margin": certificate["value"] - found.smoothed_risk})
    verdict = "holds" if certificate["value"] >= found.smoothed_risk else "IS BELOW THE TRUTH"
    print(f"true risk {found.smoothed_risk:.4f} nats per token over {seen} rows; certificate {certificate['value']:.4f} {verdict}")
    for other in value["also"]:
        verdict = "holds" if other["margin"] >= 0 else "IS BELOW THE TRUTH"
        print(f"  beside it, method {other['method']} from {other['from']:g} on: {other['value']:.4f}; {other['certificate']:.4f} {verdict}")
    return [arguments.out]


def _inputs(arguments):
    named = {name: getattr(arguments, name) for name in ("tokens", "stream", "model", "decoded", "certificate")}
    return named | {str(path): path for path in (Path(arguments.oracle) / name for name in FILES)}


def _beside(statement, risk):
    """The truth of what stands beside a certificate, at its own smoothing and over its own positions."""
    facts = {"method": statement["settings"]["method"], "from": statement["from"], "alpha": statement["choice"]["point"]["alpha"]}
    return facts | {"tokens": statement["tokens"], "value": risk, "certificate": statement["value"], "margin": statement["value"] - risk}


def _read_certificate(path):
    certificate = read_certificate(path)
    for statement in statements(certificate):
        check_keys(statement["choice"].get("point"), {"alpha": float}, path)
    return certificate


def _check_origin(stream, arguments):
    """The stream must say that these files of the oracle wrote it."""
    written = {Path(entry["path"]).name: entry["sha256"] for entry in stream["identity"].get("inputs", {}).values()}
    for name in FILES:
        found = file_sha256(Path(arguments.oracle) / name)
        if written.get(name) != found:
            wrong = f"drawn from {name} with sha256 {written.get(name)}, {arguments.oracle} has {found}"
            raise InputError(arguments.stream, wrong, "Generate the stream again")


def _check_source(found, arguments):
    """The oracle's loss on its own stream estimates its entropy; a stream that it did not draw gives itself away."""
    apart = abs(found.oracle_loss - found.entropy)
    if apart > SUSPICIOUS * found.oracle_standard_error + 1e-6:
        text = f"the oracle's loss there is {found.oracle_loss:.4f}, its entropy {found.entropy:.4f}, standard error {found.oracle_standard_error:.2g}"
        raise InputError(arguments.tokens, text, "The stream was not drawn from this oracle: generate it again")
