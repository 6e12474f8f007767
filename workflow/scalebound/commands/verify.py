"""Check a certificate from its folder alone: digests, code length, decoding, scores of a share of the windows, every number.

Of an archive of `scalebound release`, or of a folder that holds several: every certificate, after the digests of all files.

The model is rebuilt from model.sbq, and the bound is recomputed by code that shares nothing with the code that made it
beyond the readers of the files; only the search that chose grid point, weight and bet is the same, repeated on the pilot,
since a choice that looked at the rest would make the bound void. Exit status 0, or 1 with a list of what differs.
"""

import math
import secrets
import tempfile
from fractions import Fraction
from pathlib import Path, PurePosixPath

import numpy as np

from scalebound.artifacts import archive, checksums, windows
from scalebound.artifacts.architecture import read_architecture
from scalebound.artifacts.certificate import read_certificate, statements
from scalebound.artifacts.provenance import check_keys, file_sha256
from scalebound.artifacts.scores import read_pair_scores, read_scores
from scalebound.artifacts.system_files import files_below
from scalebound.bounds import recheck, recheck_online
from scalebound.bounds.ceilings import family_of, grids_of
from scalebound.bounds.certificate import CertificateSettings, choose, split
from scalebound.bounds.token_scores import TokenScores
from scalebound.commands.certify import COPIES, HOLDS_FOR, REFERENCES, SAMPLING, SCORED
from scalebound.errors import InputError, printable
from scalebound.progress import progress

GROUP = "bounds and certificates"
EXAMPLE = "results/ladder/ladder-20k/quantizers/coded/certificate"

SHARE, TOLERANCE = 0.05, 2e-3
CHOICE_TOLERANCE = 1e-4  # relative; where a search ends depends on the last bits of sums, and the forecast is flat there
INPUTS = COPIES | {"scores.parquet": "scores", REFERENCES: "averages"}
CERTIFICATE = "certificate.json"
CHECKED = "files, code length, windows, choices, decoded model, scores of the share with and without later tokens, every number of the bound"


def add_arguments(parser):
    parser.add_argument("certificate", help="certificate.json, its folder, an archive (.zip) of `scalebound release`, or a folder that holds several")
    parser.add_argument("--share", type=float, default=SHARE, help="share of the windows that are scored again")
    parser.add_argument("--seed", type=int, help="which windows: their draw; without it one that nobody could know before, which is printed")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="nats by which a token's loss or entropy may differ on another machine")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])


def run(arguments):
    if arguments.seed is None:
        # whoever made the certificate must not know which windows are going to be scored again
        arguments.seed = secrets.randbelow(2**32)
    given = Path(arguments.certificate)
    if given.suffix.lower() == archive.ENDING and not given.is_dir():
        with archive.unpacked(given) as (folder, digests):
            print(printable(f"{given}: {len(digests)} files, each as its {checksums.NAME} says"))
            _verify_all(folder, _certified(sorted(digests)), given, arguments)
    elif given.is_dir() and not (given / CERTIFICATE).exists() and (found := _certified(files_below(given)[0])):
        _check_sums(given)
        _verify_all(given, found, given, arguments)
    else:
        _verify_one(given if given.is_dir() else given.parent, arguments)
    return []


def _certified(names):
    """Folders of certificates among the names of files."""
    return [PurePosixPath(name).parent for name in names if PurePosixPath(name).name == CERTIFICATE]


def _check_sums(folder):
    """Of an archive that was unpacked by other means, all files are those of its list; another folder has none."""
    if not (folder / checksums.NAME).is_file():
        return
    listed = checksums.read_sums((folder / checksums.NAME).read_bytes(), folder)
    found = {name: file_sha256(folder / name) for name in files_below(folder)[0] if name != checksums.NAME}
    checksums.check(listed, found, folder)
    print(printable(f"{folder}: {len(found)} files, each as its {checksums.NAME} says"))


def _verify_all(folder, found, where, arguments):
    """The certificates in `found`, names of folders in `folder`, one line each; `where` is what the user calls it."""
    if not found:
        raise InputError(where, f"no {CERTIFICATE} in it", "Nothing in it claims to be certified: its numbers are estimates")
    print(f"windows to score again: --seed {arguments.seed}")
    wrong = 0
    for place, name in enumerate(found, start=1):
        value, problems = _value_and_problems(folder, name, arguments)
        outcome = f"{len(problems)} disagreements" if problems else "verified"
        for line in (f"{place} of {len(found)}  {name}: {value} nats per token, {outcome}", *(f"  {problem}" for problem in problems)):
            print(printable(line), flush=True)
        wrong += bool(problems)
    if wrong:
        raise InputError(where, f"{wrong} of {len(found)} certificates do not hold as stated", "Make them again from their inputs")
    print(f"verified of each: {CHECKED}")


def _value_and_problems(folder, name, arguments):
    """What a certificate of several states, and what is wrong with it: files that cannot be read are no reason to leave out the rest."""
    value = None
    try:
        certificate = read_certificate(folder / name / CERTIFICATE)
        value = certificate["value"]
        return value, _problems(folder / name, certificate, arguments, say=lambda line: None)
    except InputError as error:
        # by their names in the archive, not by those of a folder that is about to go
        return value, [f"{error.where.replace(f'{folder}/', '')}: {error.found}"]


def _verify_one(folder, arguments):
    certificate = read_certificate(folder / CERTIFICATE)
    print(f"verifying {folder}: {certificate.get('value')} nats per token, {certificate.get('holds_for')}")
    print(f"windows to score again: --seed {arguments.seed}")
    problems = _problems(folder, certificate, arguments, say=print)
    for problem in problems:
        print(f"  {problem}")
    if problems:
        raise InputError(folder, f"{len(problems)} disagreements", "The certificate does not hold as stated: make it again from its inputs")
    print(f"verified: {CHECKED}")


def _problems(folder, certificate, arguments, say):
    problems = [f"{name}: stated {stated}, found {found}" for name, stated, found in certificate_problems(folder, certificate)]
    return problems or _score_again(folder, certificate, arguments, say)


def certificate_problems(folder, certificate):
    """[(what, stated, found)] of all that can be checked without a model: files, code length, draw, choices, bound.

    Raises:
        InputError: a file of the folder is unreadable, or the certificate lacks a number.
    """
    try:
        if problems := _file_problems(folder, certificate):
            return problems
        rows, _, drawn = windows.read(folder / "windows.parquet")
        nll, entropy, scored = read_scores(folder / "scores.parquet")
        problems = _length_problems(folder, certificate) + _settings_problems(certificate) + _draw_problems(folder, certificate, scored)
        problems += _part_problems(certificate, drawn["settings"]["rows_seen"])
        if problems:
            return problems
        pairs = read_pair_scores(folder / "scores.parquet", certificate["vocab_size"]) if scored["stage"] == "score-references" else None
        if problems := history_problems(certificate, rows, pairs, scored):
            return problems
        return [
            problem
            for statement in statements(certificate)
            for problem in _statement_problems(statement, certificate, rows, (nll, entropy), pairs and pairs[0])
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        where = folder / "certificate.json"
        raise InputError(where, f"no certificate ({type(error).__name__}: {error})", "Make it again from its inputs") from None


def _statement_problems(statement, certificate, rows, scores, pairs):
    """Of the certificate, or of what stands beside it: its numbers by other code, and its choices on the pilot again."""
    there = rows >= statement["first_row"]
    nll, entropy = (column[there] for column in scores)
    if statement["settings"]["method"] == "online":
        pairs = pairs.of(there)
        broken, made_of = recheck_online.disagreements(pairs.nll, pairs.reference_nll, pairs.largest, statement), pairs
    else:
        broken = recheck.disagreements(nll, entropy, statement)
        made_of = None if broken else TokenScores(nll, entropy, certificate["vocab_size"])
    where = "" if statement is certificate else f"beside, method {statement['settings']['method']} from {statement['from']}: "
    return [(f"{where}{name}", *rest) for name, *rest in broken or _choice_problems(made_of, statement)]


def _part_problems(certificate, rows_seen):
    """What stands beside the certificate is what its settings ask for, and each statement counts the predictions from its share of the stream on."""
    configured, positions, seen = certificate["identity"]["settings"], certificate["windows"]["positions"], certificate["checkpoint"]["tokens_seen"]
    first, *later = configured["from"]
    wanted = [(configured["method"], first), *((configured["method"], start) for start in later)]
    wanted += [("geometric", first)] if configured["method"] == "online" else []
    found = [(statement["settings"]["method"], statement["from"]) for statement in statements(certificate)]
    problems = [] if found == wanted else [("methods and parts of the stream", found, wanted)]
    for statement in statements(certificate):
        row = math.ceil(Fraction(str(statement["from"])) * rows_seen)
        counted = {
            "first_row": row,
            "tokens": seen - row * positions,
            "vocab_size": certificate["vocab_size"],
            "code_length_bits": certificate["code_length_bits"],
        }
        problems += [(name, statement[name], value) for name, value in counted.items() if statement[name] != value]
    return problems


def history_problems(certificate, rows, pairs, scored):
    """Every window was scored beside the latest model that had not seen its row, by the steps that the history names."""
    history = certificate["history"]
    if certificate["settings"]["method"] != "online":
        return [] if history is None else [("history", "there is one", "none without method online")]
    if pairs is None:
        return [("scores", scored["stage"], "score-references")]
    steps, per_step = [reference["step"] for reference in history["references"]], history["rows_per_step"]
    problems = [] if steps == sorted(set(steps)) else [("steps of the references", steps, "ascending")]
    for row, used in zip(rows.tolist(), pairs[2].tolist()):
        if used * per_step > row:
            return [*problems, ("reference of a row: it has seen it", f"row {row} beside step {used}", f"a step that read rows before {row} only")]
        latest = max((step for step in steps if step * per_step <= row), default=0)
        if used != latest:
            return [*problems, ("reference of a row", f"row {row} beside step {used}", f"step {latest}")]
    if any(reference["first_row"] != reference["step"] * per_step for reference in history["references"]):
        problems.append(("first rows of the references", [r["first_row"] for r in history["references"]], f"{per_step} for each step"))
    last = certificate["checkpoint"].get("step")
    if steps and not (isinstance(last, int) and steps[-1] < last):
        problems.append(("steps of the references", steps[-1], f"before that of the checkpoint, {last}"))
    # one pass: n predictions are the rows of all steps. In several passes the rows of a step are those of the first
    if isinstance(last, int) and last * per_step < certificate["first_row"] + certificate["tokens"] // certificate["windows"]["positions"]:
        problems.append(("rows of a step", per_step, f"{certificate['tokens']} predictions in {last} steps"))
    named = (certificate["identity"]["inputs"].get("averages", {}).get("sha256"), scored["inputs"].get("averages", {}).get("sha256"))
    stated = (history["averages"] or {}).get("sha256")
    problems += [("sha256 of the references", stated, found) for found in dict.fromkeys(named) if found != stated]
    files = (certificate["identity"]["inputs"]["history"]["sha256"], scored["inputs"]["history"]["sha256"])
    return problems + ([] if len(set(files)) == 1 else [("history of the scores", files[1], files[0])])


def _file_problems(folder, certificate):
    """Every file is the one that the certificate lists, and the one that its identity says it was made from."""
    listed = {}
    for file in certificate["files"]:
        check_keys(file, {"name": str, "sha256": str}, folder / "certificate.json")
        listed[file["name"]] = file["sha256"]
    problems = [("files", sorted(listed), sorted(INPUTS))] if set(listed) != set(INPUTS) else []
    for name, role in INPUTS.items():
        found, stated = file_sha256(folder / name), [listed.get(name)]
        # without references of its own run, the file that holds these is made from nothing
        if name != REFERENCES or role in certificate["identity"]["inputs"]:
            stated.append(certificate["identity"]["inputs"].get(role, {}).get("sha256"))
        problems += [(f"sha256 of {name}", value, found) for value in dict.fromkeys(stated) if value != found]
    return problems


def _length_problems(folder, certificate):
    n_bytes, architecture = (folder / "model.sbq").stat().st_size, read_architecture(folder / "architecture.json")
    # L = 8 n + 2 ceil(log2(8 n + 1)) + 1, written out again
    length = 8 * n_bytes + 2 * math.ceil(math.log2(8 * n_bytes + 1)) + 1
    found = {"bytes": n_bytes, "code_length_bits": length, "coded_bits_per_param": length / architecture["n_params"]}
    found |= {"n_params": architecture["n_params"], "vocab_size": architecture["vocab_size"], "architecture_id": architecture["id"]}
    return [(name, certificate[name], value) for name, value in found.items() if certificate[name] != value]


def _settings_problems(certificate):
    """The settings that every statement was computed with are those that the identity names."""
    problems = []
    for statement in statements(certificate):
        configured = {name: value for name, value in certificate["identity"]["settings"].items() if name not in ("from", "ceilings", "online")}
        grids = certificate["identity"]["settings"].get("online" if statement["settings"]["method"] == "online" else "ceilings")
        # what stands beside the certificate may be by another method; which, is looked at elsewhere
        configured |= {"grids": grids, "method": configured["method"] if statement is certificate else statement["settings"]["method"]}
        used = {**statement["settings"], "quantizer": certificate["quantizer"]}
        problems += [(f"setting {name}", used.get(name), configured.get(name)) for name in sorted(used | configured) if used.get(name) != configured.get(name)]
    return problems


def _draw_problems(folder, certificate, scored):
    """The windows are those of the seed, the scores theirs, and n is the number of predictions that the checkpoint was trained on."""
    rows, _, drawn = windows.read(folder / "windows.parquet")
    settings = drawn["settings"]
    again = np.random.Generator(np.random.PCG64(settings["seed"])).integers(0, settings["rows_seen"], size=settings["windows"], dtype=np.int64)
    problems = [] if np.array_equal(rows, again) else [("rows of the draw", "other rows", f"those of seed {settings['seed']}")]
    seen = (certificate["checkpoint"].get("tokens_seen"), settings["tokens_seen"], settings["rows_seen"] * certificate["windows"]["positions"])
    problems += [] if len(set(seen)) == 1 else [("tokens", seen[0], seen[1:])]
    scored_on, here = scored["inputs"]["windows"]["sha256"], file_sha256(folder / "windows.parquet")
    problems += [] if scored_on == here else [("windows of the scores", scored_on, here)]
    for source, sampling in (("windows", drawn["sampling"]), ("scores", scored["sampling"])):
        problems += [] if sampling == SAMPLING else [(f"sampling of the {source}: they are no uniform draw of what the checkpoint saw", sampling, None)]
    problems += [(f"scored: {name}", certificate["scored"].get(name), scored[name]) for name in SCORED if certificate["scored"].get(name) != scored[name]]
    wanted = {"sampling": SAMPLING, "holds_for": HOLDS_FOR}
    return problems + [(name, certificate[name], value) for name, value in wanted.items() if certificate[name] != value]


def _choice_problems(scores, statement):
    """Grid point, weights and bet are those that the pilot gives: none of them has looked at the rest."""
    used = statement["settings"]
    settings = CertificateSettings(**{**used, "grids": grids_of(used["method"], used["grids"])})
    family, (pilot, rest) = family_of(settings.method, settings.grids), split(scores, settings.pilot_share)
    c = [statement[name] for name in family.complexity_names]
    found = choose(family, pilot, np.array(c) if len(c) > 1 else c[0], len(rest), settings)
    pairs = {f"choice.point.{name}": (statement["choice"]["point"][name], value) for name, value in found["point"].items()}
    pairs |= {f"choice.{name}": (statement["choice"][name], found[name]) for name in (*family.weight_names, "bet_ceiling")}
    return [(name, stated, value) for name, (stated, value) in pairs.items() if not math.isclose(stated, value, rel_tol=CHOICE_TOLERANCE, abs_tol=1e-9)]


def _score_again(folder, certificate, arguments, say):
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
        beside = _references_again(folder, certificate, model, temporary, chosen, arguments, say)
    batch = certificate["scored"]["windows_per_batch"]
    again = scoring.score(model, tokens[chosen], batch, f"scoring {count} of {len(tokens)} windows again")
    apart = max(float(np.abs(again.nll - nll[chosen]).max()), float(np.abs(again.entropy - entropy[chosen]).max()))
    say(f"{count} windows scored again on {device.type}: the largest difference of a token is {apart:.2g} nats")
    stated = nll[chosen], entropy[chosen]
    hidden = hindsight.largest_difference(model, tokens[chosen], *stated, batch, arguments.seed, f"scoring {count} windows with other later tokens")
    say(f"the same windows with other tokens later on: the largest difference of an earlier token is {hidden:.2g} nats")
    found = {"a token differs": apart, "with other tokens after it, a token differs": hidden} | beside
    return [f"scores: {what} by {size:.3g} nats, tolerance {arguments.tolerance}" for what, size in found.items() if not size <= arguments.tolerance]


def _references_again(folder, certificate, model, config, chosen, arguments, say):
    """{what differs: by how much} of the references' losses and of the largest differences of the chosen windows; nothing without references.

    config: folder with the configuration of the model, which the averages of its run have too.
    """
    if certificate["settings"]["method"] != "online":
        return {}
    from scalebound.artifacts.history import history_of
    from scalebound.models.references import References
    from scalebound.scoring.references_again import differences

    where = folder / "certificate.json"
    history, (_, tokens, _) = history_of(certificate["history"], where), windows.read(folder / "windows.parquet")
    pairs, _, steps, _ = read_pair_scores(folder / "scores.parquet", certificate["vocab_size"])
    averages = folder / REFERENCES if history.averages else None
    dtype, inputs = certificate["scored"]["dtype"], tokens.shape[1] - 1
    references = References(history, where, averages, {"folder": config}, model.device, dtype, inputs)
    used = np.unique(steps[chosen])
    groups = ((np.flatnonzero(steps[chosen] == step), model) for step, model in references.models(used.tolist()))
    stated = pairs.reference_nll[chosen], [column[chosen] for column in pairs.largest]
    words = f"scoring {len(chosen)} windows beside their references again"
    found = differences(model, groups, tokens[chosen], stated, pairs.alphas, arguments.seed, words)
    say(f"{len(chosen)} windows scored again beside {len(used)} references: " + ", ".join(f"{what} by {size:.2g} nats" for what, size in found.items()))
    return found
