"""Certificates on the audit page: the table of a family, and for one checkpoint every term, choice and file behind its certificate."""

import math

from scalebound.artifacts.certificate import read_certificate
from scalebound.audit.page import charts
from scalebound.audit.page.values import anchor, number, short, significant, size, whole

TERMS = (
    ("loss", charts.GREY, "loss of the decoded model", "mean over the windows that are not the pilot"),
    ("smoothing", charts.SKY, "smoothing", "what mixing in the uniform distribution costs"),
    ("generalization", charts.BLUE, "generalization", "(G), (F) or (D) less the smoothed loss: the price of the code length and of the grids"),
    ("linearization", charts.ORANGE, "linearization", "a tangent in place of (G) or (D), so that a mean over windows bounds it"),
    ("sampling", charts.VERMILION, "sampling", "windows in place of the whole stream, at its share of the failure probability"),
)
STEPS = (
    ("paper_recipe", ("paper’s recipe,", "(F)")),
    ("real_code_length", ("real code", "length")),
    ("geometric", ("(G) in place", "of (F)")),
    ("tuned", ("codes", "tuned")),
    ("estimate", ("on the draw of", "the certificate")),
)
METHODS = {"online": "online reference (D)", "geometric": "geometric mean (G)", "freedman": "Freedman (F)"}
CONFIDENCE = {"betting": "betting", "empirical_bernstein": "empirical Bernstein", "hoeffding": "Hoeffding"}


def certificates_table(section, family):
    """certificates.csv: the way from the paper's recipe to each certificate; every number leads to where it comes from."""
    table = section.csv(f"{family}/certificates.csv")
    if table.empty:
        raise ValueError(f"{section.name(f'{family}/certificates.csv')}: no row in it")
    section.json(f"{family}/certificates.identity.json", "certificates")
    return {"rows": [_row(anchor(family, row["checkpoint"]), row) for _, row in table.iterrows()], "steps": [title for _, title in STEPS]}


def _row(here, row):
    home = f"{here}/quantizers/{anchor(row['quantizer'])}"
    targets = {"paper_recipe": here, "real_code_length": here, "geometric": here, "tuned": f"{home}/bound", "estimate": f"{home}/certificate"}
    return {
        "slug": row["checkpoint"],
        "anchor": here,
        "home": f"{home}/certificate",
        "quantizer": row["quantizer"],
        "quantizer_anchor": home,
        "n_params": short(row["n_params"]),
        "n_tokens": short(row["n_tokens"]),
        "train_loss": number(row["train_loss"]),
        # the recipe is missing where GPTQ covered too little of the model
        "steps": [(targets[name], number(row[name]) if row[name] else "–") for name, _ in STEPS],
        "value": number(row["certificate"]),
        "bits": number(row["coded_bits_per_param"], 3),
        "failure": significant(row["failure_probability"]),
        "sampling": row["sampling"],
    }


def certificate(section, folder):
    """One certificate with its terms, choices, grids, failure probabilities, code length and files."""
    place = f"{folder}/certificate"
    section.json(f"{place}/certificate.json", "certify")
    data = read_certificate(section.file(f"{place}/certificate.json"))
    settings, uniform = data["settings"], math.log(data["vocab_size"])
    failures = settings["stream_failure_probability"], settings["draw_failure_probability"]
    pieces = [(colour, float(data["terms"][name])) for name, colour, _, _ in TERMS]
    bars = [("certificate", pieces, data["value"])]
    terms = "; ".join(f"{name} {value:.3f}" for name, value in data["terms"].items())
    label = f"Stacked bar of the certificate, {data['value']:.3f} nats per token: {terms}"
    return {
        "kind": data["kind"],
        "value": number(data["value"], 4),
        "probability": significant(1 - sum(failures), 6),
        "holds_for": data["holds_for"],
        "sampling": data["sampling"],
        "vacuous": data["value"] >= uniform,
        "uniform": number(uniform),
        "chart": charts.stacked_bars(bars, uniform, f"log V = {uniform:.3f}", label),
        "terms": [(colour, title, note, number(data["terms"][name], 4)) for name, colour, title, note in TERMS],
        "facts": _facts(data),
        "choices": _choices(data),
        "estimates": _estimates(data["estimate"]),
        "others": [(CONFIDENCE.get(name, name), number(value, 4), name == settings["confidence"]) for name, value in data["values"].items()],
        "files": section.vouched(data["files"], place),
        "command": f"scalebound verify {section.name(place)}",
    }


def _estimates(found):
    return [
        ("at the same choices, on the same windows", number(found["same_choice"], 4)),
        ("at the best grid point, on all windows of the draw", number(found["best"]["value"], 4)),
    ]


def _facts(data):
    settings, windows = data["settings"], data["windows"]
    return [
        ("method", METHODS.get(settings["method"], str(settings["method"]))),
        ("bound on the mean over the draw", CONFIDENCE.get(settings["confidence"], str(settings["confidence"]))),
        ("failure probability over the stream, δ₁", significant(settings["stream_failure_probability"])),
        ("failure probability over the draw, δ₂", significant(settings["draw_failure_probability"])),
        ("windows of the pilot, which choices are made on", whole(windows["pilot"])),
        ("windows that the bound is computed on", whole(windows["rest"])),
        ("message", size(data["bytes"])),
        ("code length L, in bits", whole(data["code_length_bits"])),
        ("coded bits per parameter", number(data["coded_bits_per_param"], 3)),
        ("training predictions n", whole(data["tokens"])),
        ("vocabulary V", whole(data["vocab_size"])),
        ("C, the price of code length and grids", significant(data["C"], 5)),
        *(_online(data) if settings["method"] == "online" else ()),
        *(_beside(other) for other in data["also"]),
    ]


def _online(data):
    """What (D) compares with, and the halves that it is the sum of before windows take the place of the stream."""
    halves, references = data["halves"], data["history"]["references"]
    return [
        ("references, earlier models of the run", whole(len(references))),
        ("C of the reference, the price of its grids", significant(data["C_reference"], 5)),
        ("loss of the references", number(halves["reference_loss"], 4)),
        ("bound on that loss", number(halves["reference_bound"], 4)),
        ("decoded model less references, both smoothed", number(halves["difference"], 4)),
        ("bound on that difference, which pays for the code", number(halves["difference_bound"], 4)),
        ("mean square of that difference", significant(halves["difference_second_moment"], 4)),
        ("mean largest difference that could occur", number(halves["mean_largest_difference"], 4)),
    ]


def _beside(other):
    """A statement that holds with the same probability for itself, and was not what was decided on in advance."""
    method = METHODS.get(other["settings"]["method"], str(other["settings"]["method"]))
    part = f"from a share of {other['from']:g} of the stream on" if other["from"] else "the whole stream"
    return f"beside it: {method}, {part}", number(other["value"], 4)


def _choices(data):
    """[(what, chosen value, points of its grid)]: C pays for the grids; weight and bet concern the draw alone."""
    grids, choice = data["grid_sizes"], data["choice"]
    rows = [(name, significant(value), whole(grids[name])) for name, value in choice["point"].items()]
    names = {"reference_weight": "weight of the reference's tangent", "weight": "weight of the tangent", "bet_ceiling": "ceiling of the bet"}
    return [*rows, *((title, significant(choice[name]), None) for name, title in names.items() if name in choice)]
