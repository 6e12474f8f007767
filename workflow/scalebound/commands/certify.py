"""Certify the decoded model of a checkpoint: certificate.json beside copies of everything that it rests on."""

from pathlib import Path

from scalebound.artifacts import atomic, windows
from scalebound.artifacts.architecture import read_architecture
from scalebound.artifacts.provenance import check_keys, describe_files, file_sha256, identity, read_json
from scalebound.artifacts.scores import read_scores, windows_digest
from scalebound.bounds.ceilings import Grids as CeilingGrids
from scalebound.bounds.certificate import CertificateSettings, certify
from scalebound.commands.arguments import add_settings, read_json_option, read_settings
from scalebound.configuration.config import Certificate, Grids
from scalebound.errors import InputError
from scalebound.quantization import message

GROUP = "bounds and certificates"

COPIES = ("model.sbq", "architecture.json", "windows.parquet")
SAMPLING = "unbiased"  # of the windows of every certificate: a uniform draw of what the checkpoint saw
SCORED = ("dtype", "device", "windows_per_batch", "packages", "causality")  # what a certificate says of its scores, from their identity
HOLDS_FOR = "the mean conditional risk of the decoded, smoothed model over the training stream of the checkpoint"


def add_arguments(parser):
    add_settings(parser, Certificate)
    parser.add_argument("--ceilings", required=True, metavar="JSON", help="the grids of ceilings, as JSON")
    parser.add_argument("--model", required=True, help="resolved.json")
    parser.add_argument("--code", required=True, help="code.json")
    parser.add_argument("--message", required=True, help="model.sbq")
    parser.add_argument("--architecture", required=True, help="architecture.json")
    parser.add_argument("--windows", required=True, help="windows.parquet of the certify draw")
    parser.add_argument("--scores", required=True, help="scores.parquet of the decoded model on that draw")
    parser.add_argument("--out", required=True, help="certificate.json; model.sbq, architecture.json and windows.parquet are copied beside it")


def run(arguments):
    settings = read_settings(arguments, Certificate)
    grids = read_json_option(arguments.ceilings, Grids, "--ceilings")
    inputs = {name: getattr(arguments, name) for name in ("model", "code", "message", "architecture", "windows", "scores")}
    folder = Path(arguments.out).parent
    if Path(arguments.scores).resolve() != (folder / "scores.parquet").resolve():
        raise InputError(arguments.scores, f"not scores.parquet in {folder}", "A certificate and its scores lie in one folder: write it beside them")
    result = certify_files(inputs, settings, grids)
    made_of = identity("certify", inputs, {**settings.model_dump(exclude={"untuned"}), "ceilings": grids.model_dump()}, packages=["numpy", "scipy"])
    for name, source in zip(COPIES, (arguments.message, arguments.architecture, arguments.windows)):
        atomic.write_bytes(folder / name, Path(source).read_bytes())
    files = describe_files(folder, [*COPIES, "scores.parquet"])
    atomic.write_json(arguments.out, {"identity": made_of, "files": files, **result})
    failure = settings.stream_failure_probability + settings.draw_failure_probability
    shown = f"{result['value']:.4f} nats per token with probability {1 - failure:.4g}"
    print(f"certificate for {result['checkpoint']['slug']} {settings.quantizer}: {shown}; estimate {result['estimate']['best']['value']:.4f}")
    return [arguments.out, *(folder / name for name in COPIES)]


def certify_files(inputs, settings, grids):
    """The content of certificate.json, without its identity and file list, from {model, code, message, architecture, windows, scores}.

    Raises:
        InputError: files that are unreadable or do not belong together, or windows that are no uniform draw of what was seen.
    """
    code = read_json(inputs["code"], message.CODE_STAGES)
    model = read_json(inputs["model"], "resolve", {"checkpoint": dict, "vocab_size": int, "n_params": int})
    check_keys(model["checkpoint"], {"slug": str, "tokens_seen": int}, inputs["model"])
    architecture = read_architecture(inputs["architecture"])
    if any(model[name] != architecture[name] for name in ("vocab_size", "n_params")):
        raise InputError(inputs["model"], "another vocabulary or number of parameters than its architecture", "Resolve the checkpoint again")
    _, tokens, drawn = windows.read(inputs["windows"])
    nll, entropy, scored = read_scores(inputs["scores"])
    if windows_digest(scored, inputs["scores"]) != file_sha256(inputs["windows"]):
        raise InputError(inputs["scores"], f"not scored on {inputs['windows']}", "Score the decoded model on the certify draw")
    for name, made_of in (("windows", drawn), ("scores", scored)):
        if made_of.get("sampling") != SAMPLING:
            found = f"sampling {made_of.get('sampling')!r}: its windows are no uniform draw of what the checkpoint saw"
            raise InputError(inputs[name], found, "No certificate rests on such windows: all that is computed on them is an estimate")
    check_keys(scored.get("causality"), {"inputs": int}, inputs["scores"])
    if scored["causality"]["inputs"] != nll.shape[1]:
        found = f"of a model that was found to be causal on {scored['causality']['inputs']} tokens, not on its {nll.shape[1]}"
        raise InputError(inputs["scores"], found, "Score the decoded model again")
    if nll.shape != (tokens.shape[0], tokens.shape[1] - 1):
        raise InputError(inputs["scores"], f"scores of {nll.shape} for windows of {tokens.shape}", "Score the decoded model again")
    checkpoint, size = model["checkpoint"], Path(inputs["message"]).stat().st_size
    chosen = CertificateSettings(**settings.model_dump(exclude={"quantizer", "untuned"}), grids=CeilingGrids(**grids.model_dump()))
    done = certify(nll, entropy, model["vocab_size"], checkpoint["tokens_seen"], message.code_length_bits(size), chosen)
    return {
        **done,
        "checkpoint": checkpoint,
        "n_params": architecture["n_params"],
        "architecture_id": architecture["id"],
        "bytes": size,
        "coded_bits_per_param": message.code_length_bits(size) / architecture["n_params"],
        # tokens that the codes were tuned on, as a share of those that the checkpoint was trained on
        "share_of_training": code.get("share_of_training", 0.0),
        "quantizer": settings.quantizer,
        "sampling": SAMPLING,
        "scored": {name: scored[name] for name in SCORED},
        "holds_for": HOLDS_FOR,
    }
