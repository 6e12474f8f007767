"""Certify the decoded model of a checkpoint: certificate.json beside copies of everything that it rests on."""

from pathlib import Path

from scalebound.artifacts import atomic, windows
from scalebound.artifacts.architecture import read_architecture
from scalebound.artifacts.history import read_history
from scalebound.artifacts.provenance import check_keys, describe_files, file_sha256, identity, read_json
from scalebound.artifacts.scores import open_pair_scores, open_scores, windows_digest
from scalebound.artifacts.tensors import write_tensors
from scalebound.bounds.ceilings import grids_of
from scalebound.bounds.certificate import CertificateSettings, certify_scores
from scalebound.bounds.later_part import first_row
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.configuration.config import Certificate, Grids, OnlineGrids
from scalebound.errors import InputError
from scalebound.quantization import message

GROUP = "bounds and certificates"

COPIES = {"model.sbq": "message", "architecture.json": "architecture", "windows.parquet": "windows"}
REFERENCES = "references.safetensors"  # the averages of a run that was trained here; nothing where none have to travel
SAMPLING = "unbiased"  # of the windows of every certificate: a uniform draw of what the checkpoint saw
SCORED = ("dtype", "device", "windows_per_batch", "packages", "causality")  # what a certificate says of its scores, from their identity
HOLDS_FOR = "the mean conditional risk of the decoded, smoothed model over the training stream of the checkpoint; of each in `also`, over what begins at `from`"


class Settings(Certificate):
    """How to certify, with the grids of every method."""

    ceilings: Grids = Grids()
    online: OnlineGrids = OnlineGrids()


def add_arguments(parser):
    add_settings(parser, Settings)
    parser.add_argument("--model", required=True, help="resolved.json")
    parser.add_argument("--code", required=True, help="code.json")
    parser.add_argument("--message", required=True, help="model.sbq")
    parser.add_argument("--architecture", required=True, help="architecture.json")
    parser.add_argument("--windows", required=True, help="windows.parquet of the certify draw")
    parser.add_argument("--scores", required=True, help="scores.parquet of the decoded model on that draw, beside its references for method online")
    parser.add_argument("--history", help="history.json, for method online")
    parser.add_argument("--averages", help="averages.safetensors, where the references were trained here")
    parser.add_argument("--out", required=True, help="certificate.json; what it rests on is copied beside it")


def run(arguments):
    settings = read_settings(arguments, Settings)
    if settings.method is None:
        settings = settings.model_copy(update={"method": "online" if arguments.history else "geometric"})
    roles = ("model", "code", "message", "architecture", "windows", "scores", "history", "averages")
    inputs = {name: path for name in roles if (path := getattr(arguments, name)) is not None}
    folder = Path(arguments.out).parent
    if Path(arguments.scores).resolve() != (folder / "scores.parquet").resolve():
        raise InputError(arguments.scores, f"not scores.parquet in {folder}", "A certificate and its scores lie in one folder: write it beside them")
    result = certify_files(inputs, settings)
    made_of = identity("certify", inputs, settings.model_dump(exclude={"untuned", "checkpoints"}), packages=["numpy", "scipy"])
    for name, role in COPIES.items():
        atomic.copy(inputs[role], folder / name)
    if arguments.averages:
        atomic.copy(arguments.averages, folder / REFERENCES)
    else:
        write_tensors(folder / REFERENCES, {}, {"format": "pt"})
    files = describe_files(folder, [*COPIES, REFERENCES, "scores.parquet"])
    atomic.write_json(arguments.out, {"identity": made_of, "files": files, **result})
    failure = settings.stream_failure_probability + settings.draw_failure_probability
    shown = f"{result['value']:.4f} nats per token with probability {1 - failure:.4g}"
    print(f"certificate for {result['checkpoint']['slug']} {settings.quantizer}: {shown}; estimate {result['estimate']['best']['value']:.4f}")
    for other in result["also"]:
        print(f"  beside it, method {other['settings']['method']}, from {other['from']:g} of the stream on: {other['value']:.4f}")
    return [arguments.out, *(folder / name for name in (*COPIES, REFERENCES))]


def certify_files(inputs, settings):
    """The content of certificate.json, without its identity and file list, from {role: path}; `history` and `averages` for method online only.

    Raises:
        InputError: files that are unreadable or do not belong together, or windows that are no uniform draw of what was seen.
    """
    code = read_json(inputs["code"], message.CODE_STAGES)
    model = read_json(inputs["model"], "resolve", {"checkpoint": dict, "vocab_size": int, "n_params": int})
    check_keys(model["checkpoint"], {"slug": str, "tokens_seen": int}, inputs["model"])
    architecture = read_architecture(inputs["architecture"])
    if any(model[name] != architecture[name] for name in ("vocab_size", "n_params")):
        raise InputError(inputs["model"], "another vocabulary or number of parameters than its architecture", "Resolve the checkpoint again")
    rows, scores, pairs, scored = _scores(inputs, model["vocab_size"], settings.method)
    checkpoint, size = model["checkpoint"], Path(inputs["message"]).stat().st_size
    bits, seen = message.code_length_bits(size), checkpoint["tokens_seen"]
    done = [_statement(method, start, rows, pairs if method == "online" else scores, seen, bits, settings) for method, start in statements(settings)]
    history = None if settings.method != "online" else {k: v for k, v in read_json(inputs["history"]).items() if k != "identity"}
    return {
        **done[0],
        # each of these holds with the same probability for itself; what was decided on in advance is the one above
        "also": done[1:],
        "history": history,
        "checkpoint": checkpoint,
        "n_params": architecture["n_params"],
        "architecture_id": architecture["id"],
        "bytes": size,
        "coded_bits_per_param": bits / architecture["n_params"],
        # tokens that the codes were tuned on, as a share of those that the checkpoint was trained on
        "share_of_training": code.get("share_of_training", 0.0),
        "quantizer": settings.quantizer,
        "sampling": SAMPLING,
        "scored": {name: scored[name] for name in SCORED},
        "holds_for": HOLDS_FOR,
    }


def statements(settings):
    """[(method, share of the stream from which on positions count)]: the certificate, then what stands beside it: the later parts
    of the stream, and of the whole what would be certified without references."""
    first, *later = settings.starts
    without = [("geometric", first)] if settings.method == "online" else []
    return [(settings.method, first), *((settings.method, start) for start in later), *without]


def _statement(method, start, rows, scores, seen, bits, settings):
    """`certify_scores` of the windows at or behind `start`, whose rows are `rows`, with the number of predictions there."""
    positions = scores.positions
    first = first_row(start, seen // positions)
    chosen = CertificateSettings(
        method,
        settings.confidence,
        settings.stream_failure_probability,
        settings.draw_failure_probability,
        settings.pilot_share,
        grids_of(method, (settings.online if method == "online" else settings.ceilings).model_dump()),
    )
    return {"from": start, "first_row": first, **certify_scores(scores.of(rows >= first), seen - first * positions, bits, chosen)}


def _scores(inputs, vocab_size, method):
    """(rows of the windows, `TokenScores`, `OnlineScores` or None, identity of the scores) of the draw that certificates rest on."""
    rows, drawn_shape, drawn = windows.read_rows(inputs["windows"])
    scores, scored = open_scores(inputs["scores"], vocab_size)
    pairs = None
    if method == "online":
        if "history" not in inputs:
            raise InputError("--history", "no history.json", "Method online compares with earlier models: give their history, or another method")
        pairs, steps, _ = open_pair_scores(inputs["scores"], vocab_size)
        _check_references(inputs, rows, steps, scored)
    if windows_digest(scored, inputs["scores"]) != file_sha256(inputs["windows"]):
        raise InputError(inputs["scores"], f"not scored on {inputs['windows']}", "Score the decoded model on the certify draw")
    for name, made_of in (("windows", drawn), ("scores", scored)):
        if made_of.get("sampling") != SAMPLING:
            found = f"sampling {made_of.get('sampling')!r}: its windows are no uniform draw of what the checkpoint saw"
            raise InputError(inputs[name], found, "No certificate rests on such windows: all that is computed on them is an estimate")
    check_keys(scored.get("causality"), {"inputs": int}, inputs["scores"])
    if scored["causality"]["inputs"] != scores.positions:
        found = f"of a model that was found to be causal on {scored['causality']['inputs']} tokens, not on its {scores.positions}"
        raise InputError(inputs["scores"], found, "Score the decoded model again")
    if (len(scores), scores.positions + 1) != drawn_shape:
        raise InputError(inputs["scores"], f"scores of {len(scores)} x {scores.positions} for windows of {drawn_shape}", "Score the decoded model again")
    return rows, scores, pairs, scored


def _check_references(inputs, rows, steps, scored):
    """The reference of each window is the latest that has not seen its row: one that has would make the certificate false."""
    wanted = read_history(inputs["history"]).steps_of(rows)
    if (steps != wanted).any():
        window = int((steps != wanted).argmax())
        found = f"window {window}, row {rows[window]}, beside the model of step {steps[window]}; it has to be that of step {wanted[window]}"
        raise InputError(inputs["scores"], found, "Score the decoded model again")
    for role in ("history", "averages"):
        made_from = scored["inputs"].get(role, {}).get("sha256")
        if role in inputs and made_from != file_sha256(inputs[role]):
            raise InputError(inputs["scores"], f"not scored beside the references of {inputs[role]}", "Score the decoded model again")
