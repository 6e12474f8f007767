"""Check a certificate from its folder alone: digests, code length, decoding, scores of a share of the windows, every number.

The model is rebuilt from model.sbq, and the bound is recomputed by code that shares nothing with the code that made it
beyond the readers of the files. Exit status 0, or 1 with a list of what differs.
"""

import math
import tempfile
from pathlib import Path

import numpy as np

from scalebound import windows
from scalebound.architecture_id import read_architecture
from scalebound.bounds import recheck
from scalebound.errors import InputError
from scalebound.progress import progress
from scalebound.provenance import check_keys, file_sha256, read_json
from scalebound.score_table import read_scores

SHARE, TOLERANCE, SEED = 0.05, 2e-3, 0
NEEDS = {"kind": str, "bytes": int, "code_length_bits": int, "files": list, "vocab_size": int, "tokens": int, "settings": dict, "checkpoint": dict}


def add_arguments(parser):
    parser.add_argument("certificate", help="certificate.json, or its folder")
    parser.add_argument("--share", type=float, default=SHARE, help="share of the windows that are scored again")
    parser.add_argument("--seed", type=int, default=SEED, help="which windows: their draw")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="nats by which a token's loss or entropy may differ on another machine")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])


def run(arguments):
    given = Path(arguments.certificate)
    folder = given if given.is_dir() else given.parent
    certificate = read_json(folder / "certificate.json", "certify", NEEDS)
    print(f"verifying {folder}: {certificate.get('value')} nats per token, {certificate.get('holds_for')}")
    problems = [f"{name}: stated {stated}, found {found}" for name, stated, found in certificate_problems(folder, certificate)]
    if not problems:
        problems += _score_again(folder, certificate, arguments)
    for problem in problems:
        print(f"  {problem}")
    if problems:
        raise InputError(folder, f"{len(problems)} disagreements", "The certificate does not hold as stated: make it again from its inputs")
    print("verified: files, code length, windows, decoded model, scores of the share, every number of the bound")
    return []


def certificate_problems(folder, certificate):
    """[(what, stated, found)] of all that can be checked without a model: files, code length, draw, bound.

    Raises:
        InputError: a file of the folder is unreadable.
    """
    problems = []
    for file in certificate["files"]:
        check_keys(file, {"name": str, "sha256": str}, folder / "certificate.json")
        found = file_sha256(folder / Path(file["name"]).name)
        if found != file["sha256"]:
            problems.append((f"sha256 of {file['name']}", file["sha256"], found))
    if problems:
        return problems
    n_bytes = (folder / "model.sbq").stat().st_size
    # L = 8 n + 2 ceil(log2(8 n + 1)) + 1, written out again
    length = 8 * n_bytes + 2 * math.ceil(math.log2(8 * n_bytes + 1)) + 1
    problems += [(name, certificate[name], value) for name, value in (("bytes", n_bytes), ("code_length_bits", length)) if certificate[name] != value]
    problems += _draw_problems(folder, certificate)
    nll, entropy, _ = read_scores(folder / "scores.parquet")
    return problems + recheck.disagreements(nll, entropy, certificate)


def _draw_problems(folder, certificate):
    """The windows are those of the seed, and n is the number of predictions that the checkpoint was trained on."""
    rows, _, drawn = windows.read(folder / "windows.parquet")
    settings = drawn["settings"]
    again = np.random.Generator(np.random.PCG64(settings["seed"])).integers(0, settings["rows_seen"], size=settings["windows"], dtype=np.int64)
    problems = [] if np.array_equal(rows, again) else [("rows of the draw", "other rows", f"those of seed {settings['seed']}")]
    seen = (certificate["tokens"], certificate["checkpoint"].get("tokens_seen"), settings["tokens_seen"])
    return problems + ([] if len(set(seen)) == 1 else [("tokens", seen[0], seen[1:])])


def _score_again(folder, certificate, arguments):
    """Decode the message into a temporary folder, score a share of the windows, compare token by token."""
    import torch

    from scalebound import model_files, models, scoring
    from scalebound.commands.decode import write_model

    torch.set_num_threads(1)
    _, tokens, _ = windows.read(folder / "windows.parquet")
    count = min(len(tokens), max(1, math.ceil(arguments.share * len(tokens))))
    chosen = np.sort(np.random.Generator(np.random.PCG64(arguments.seed)).choice(len(tokens), size=count, replace=False))
    nll, entropy, _ = read_scores(folder / "scores.parquet")
    with tempfile.TemporaryDirectory() as temporary, progress(1, "models", "decoding") as bar:
        write_model((folder / "model.sbq").read_bytes(), read_architecture(folder / "architecture.json"), Path(temporary), folder / "model.sbq")
        device = model_files.choose_device(arguments.device)
        model = models.load_folder(temporary, device, certificate["scored"]["dtype"])
        bar.update(1)
    again = scoring.score(model, tokens[chosen], certificate["scored"]["windows_per_batch"], f"scoring {count} of {len(tokens)} windows again")
    apart = max(float(np.abs(again.nll - nll[chosen]).max()), float(np.abs(again.entropy - entropy[chosen]).max()))
    print(f"{count} windows scored again on {device.type}: the largest difference of a token is {apart:.2g} nats")
    return [f"scores: a token differs by {apart:.3g} nats, tolerance {arguments.tolerance}"] * (not apart <= arguments.tolerance)
