"""Check a certificate from its folder alone: digests, code length, decoding, scores of a share of the windows, every number.

The model is rebuilt from model.sbq, and the bound is recomputed by code that shares nothing with the code that made it
beyond the readers of the files; only the search that chose grid point, weight and bet is the same, repeated on the pilot,
since a choice that looked at the rest would make the bound void. Exit status 0, or 1 with a list of what differs.
"""

import math
import tempfile
from pathlib import Path

import numpy as np

from scalebound.artifacts import windows
from scalebound.artifacts.architecture import read_architecture
from scalebound.artifacts.certificate import read_certificate
from scalebound.artifacts.provenance import check_keys, file_sha256
from scalebound.artifacts.scores import read_scores
from scalebound.bounds import recheck
from scalebound.bounds.ceilings import Grids, family_of
from scalebound.bounds.certificate import CertificateSettings, choose, split
from scalebound.bounds.token_scores import TokenScores
from scalebound.commands.certify import HOLDS_FOR, SAMPLING, SCORED
from scalebound.errors import InputError
from scalebound.progress import progress

GROUP = "bounds and certificates"
EXAMPLE = "results/ladder/ladder-20k/quantizers/coded/certificate"

SHARE, TOLERANCE, SEED = 0.05, 2e-3, 0
CHOICE_TOLERANCE = 1e-4  # relative; where a search ends depends on the last bits of sums, and the forecast is flat there
INPUTS = {"model.sbq": "message", "architecture.json": "architecture", "windows.parquet": "windows", "scores.parquet": "scores"}


def add_arguments(parser):
    parser.add_argument("certificate", help="certificate.json, or its folder")
    parser.add_argument("--share", type=float, default=SHARE, help="share of the windows that are scored again")
    parser.add_argument("--seed", type=int, default=SEED, help="which windows: their draw")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="nats by which a token's loss or entropy may differ on another machine")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])


def run(arguments):
    given = Path(arguments.certificate)
    folder = given if given.is_dir() else given.parent
    certificate = read_certificate(folder / "certificate.json")
    print(f"verifying {folder}: {certificate.get('value')} nats per token, {certificate.get('holds_for')}")
    problems = [f"{name}: stated {stated}, found {found}" for name, stated, found in certificate_problems(folder, certificate)]
    if not problems:
        problems += _score_again(folder, certificate, arguments)
    for problem in problems:
        print(f"  {problem}")
    if problems:
        raise InputError(folder, f"{len(problems)} disagreements", "The certificate does not hold as stated: make it again from its inputs")
    print("verified: files, code length, windows, choices, decoded model, scores of the share with and without later tokens, every number of the bound")
    return []


def certificate_problems(folder, certificate):
    """[(what, stated, found)] of all that can be checked without a model: files, code length, draw, choices, bound.

    Raises:
        InputError: a file of the folder is unreadable, or the certificate lacks a number.
    """
    try:
        if problems := _file_problems(folder, certificate):
            return problems
        nll, entropy, scored = read_scores(folder / "scores.parquet")
        problems = _length_problems(folder, certificate) + _settings_problems(certificate) + _draw_problems(folder, certificate, scored)
        broken = recheck.disagreements(nll, entropy, certificate)
        return problems + broken + ([] if broken or problems else _choice_problems(nll, entropy, certificate))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        where = folder / "certificate.json"
        raise InputError(where, f"no certificate ({type(error).__name__}: {error})", "Make it again from its inputs") from None


def _file_problems(folder, certificate):
    """Every file is the one that the certificate lists, and the one that its identity says it was made from."""
    listed = {}
    for file in certificate["files"]:
        check_keys(file, {"name": str, "sha256": str}, folder / "certificate.json")
        listed[file["name"]] = file["sha256"]
    problems = [("files", sorted(listed), sorted(INPUTS))] if set(listed) != set(INPUTS) else []
    for name, role in INPUTS.items():
        made_from = certificate["identity"]["inputs"].get(role, {}).get("sha256")
        found = file_sha256(folder / name)
        problems += [(f"sha256 of {name}", stated, found) for stated in dict.fromkeys((listed.get(name), made_from)) if stated != found]
    return problems


def _length_problems(folder, certificate):
    n_bytes, architecture = (folder / "model.sbq").stat().st_size, read_architecture(folder / "architecture.json")
    # L = 8 n + 2 ceil(log2(8 n + 1)) + 1, written out again
    length = 8 * n_bytes + 2 * math.ceil(math.log2(8 * n_bytes + 1)) + 1
    found = {"bytes": n_bytes, "code_length_bits": length, "coded_bits_per_param": length / architecture["n_params"]}
    found |= {"n_params": architecture["n_params"], "vocab_size": architecture["vocab_size"], "architecture_id": architecture["id"]}
    return [(name, certificate[name], value) for name, value in found.items() if certificate[name] != value]


def _settings_problems(certificate):
    """The settings that the bound was computed with are those that its identity names."""
    configured = dict(certificate["identity"]["settings"])
    configured["grids"] = configured.pop("ceilings", None)
    used = {**certificate["settings"], "quantizer": certificate["quantizer"]}
    return [(f"setting {name}", used.get(name), configured.get(name)) for name in sorted(used | configured) if used.get(name) != configured.get(name)]


def _draw_problems(folder, certificate, scored):
    """The windows are those of the seed, the scores theirs, and n is the number of predictions that the checkpoint was trained on."""
    rows, _, drawn = windows.read(folder / "windows.parquet")
    settings = drawn["settings"]
    again = np.random.Generator(np.random.PCG64(settings["seed"])).integers(0, settings["rows_seen"], size=settings["windows"], dtype=np.int64)
    problems = [] if np.array_equal(rows, again) else [("rows of the draw", "other rows", f"those of seed {settings['seed']}")]
    seen = (certificate["tokens"], certificate["checkpoint"].get("tokens_seen"), settings["tokens_seen"])
    problems += [] if len(set(seen)) == 1 else [("tokens", seen[0], seen[1:])]
    scored_on, here = scored["inputs"]["windows"]["sha256"], file_sha256(folder / "windows.parquet")
    problems += [] if scored_on == here else [("windows of the scores", scored_on, here)]
    for source, sampling in (("windows", drawn["sampling"]), ("scores", scored["sampling"])):
        problems += [] if sampling == SAMPLING else [(f"sampling of the {source}: they are no uniform draw of what the checkpoint saw", sampling, None)]
    problems += [(f"scored: {name}", certificate["scored"].get(name), scored[name]) for name in SCORED if certificate["scored"].get(name) != scored[name]]
    wanted = {"sampling": SAMPLING, "holds_for": HOLDS_FOR}
    return problems + [(name, certificate[name], value) for name, value in wanted.items() if certificate[name] != value]


def _choice_problems(nll, entropy, certificate):
    """Grid point, weight and bet are those that the pilot gives: none of them has looked at the rest."""
    used = certificate["settings"]
    settings = CertificateSettings(**{**used, "grids": Grids(**used["grids"])})
    pilot, rest = split(TokenScores(nll, entropy, certificate["vocab_size"]), settings.pilot_share)
    found = choose(family_of(settings.method, settings.grids), pilot, certificate["C"], len(rest), settings)
    pairs = {f"choice.point.{name}": (certificate["choice"]["point"][name], value) for name, value in found["point"].items()}
    pairs |= {f"choice.{name}": (certificate["choice"][name], found[name]) for name in ("weight", "bet_ceiling")}
    return [(name, stated, value) for name, (stated, value) in pairs.items() if not math.isclose(stated, value, rel_tol=CHOICE_TOLERANCE, abs_tol=1e-9)]


def _score_again(folder, certificate, arguments):
    """Decode the message into a temporary folder, score a share of the windows, compare token by token."""
    import torch

    from scalebound.commands.decode import write_model
    from scalebound.models import files, loading
    from scalebound.scoring import hindsight, scoring

    torch.set_num_threads(1)
    _, tokens, _ = windows.read(folder / "windows.parquet")
    count = min(len(tokens), max(1, math.ceil(arguments.share * len(tokens))))
    chosen = np.sort(np.random.Generator(np.random.PCG64(arguments.seed)).choice(len(tokens), size=count, replace=False))
    nll, entropy, _ = read_scores(folder / "scores.parquet")
    with tempfile.TemporaryDirectory() as temporary, progress(1, "models", "decoding") as bar:
        write_model((folder / "model.sbq").read_bytes(), read_architecture(folder / "architecture.json"), Path(temporary), folder / "model.sbq")
        device = files.choose_device(arguments.device)
        try:
            model, _ = loading.load_folder(temporary, device, certificate["scored"]["dtype"], tokens.shape[1] - 1)
        except InputError as error:  # about a folder that is about to go
            raise InputError(folder / "model.sbq", f"decoded, {error.found}", error.remedy) from None
        bar.update(1)
    batch = certificate["scored"]["windows_per_batch"]
    again = scoring.score(model, tokens[chosen], batch, f"scoring {count} of {len(tokens)} windows again")
    apart = max(float(np.abs(again.nll - nll[chosen]).max()), float(np.abs(again.entropy - entropy[chosen]).max()))
    print(f"{count} windows scored again on {device.type}: the largest difference of a token is {apart:.2g} nats")
    stated = nll[chosen], entropy[chosen]
    hidden = hindsight.largest_difference(model, tokens[chosen], *stated, batch, arguments.seed, f"scoring {count} windows with other later tokens")
    print(f"the same windows with other tokens later on: the largest difference of an earlier token is {hidden:.2g} nats")
    found = {"a token differs": apart, "with other tokens after it, a token differs": hidden}
    return [f"scores: {what} by {size:.3g} nats, tolerance {arguments.tolerance}" for what, size in found.items() if not size <= arguments.tolerance]
