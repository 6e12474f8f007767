"""What is claimed of the numbers of a family, on the audit page: the ledger's lines of the columns that its tables fill, and each certificate's settings."""

import re

from markupsafe import Markup, escape

from scalebound.artifacts.certificate import read_certificate, statements
from scalebound.audit.page import ledger
from scalebound.audit.page.certificates import CONFIDENCE, METHODS
from scalebound.audit.page.values import anchor, number, significant, whole

_SYMBOLS = {"d": "δ", "d1": "δ₁", "d2": "δ₂"}  # as the rest of the page has them
TABLES = ("bounds.csv", "certificates.csv", "comparison.csv")


def claims(section, family):
    """{"kinds", "lines", "unknown", "certificates", "approximate"} of the tables that lie there; `unknown` are columns of other code, of no line.

    Where rows are only an approximation of what was seen, nothing is called a certificate, whatever the column is called.
    """
    filled, certified = [], []
    for name in TABLES:
        if section.exists(f"{family}/{name}"):
            table = section.csv(f"{family}/{name}")
            filled += [column for column in table if column not in filled and (table[column] != "").any()]
            certified = table.to_dict("records") if name == "certificates.csv" else certified
    made = [_certificate(section, family, row) for row in certified]
    approximate = any(row["sampling"] != "unbiased" for row in made)
    known = {name: line for name in filled for line in ledger.LINES if line.has(name)}
    lines = [_line(line, columns, approximate) for line in ledger.in_order(ledger.LINES) if (columns := [name for name in filled if known.get(name) is line])]
    shown = {line["kind"] for line in lines}
    kinds = [(kind, meaning) for kind, meaning in ledger.KINDS.items() if kind in shown]
    unknown = [name for name in filled if name not in known]
    return {"kinds": kinds, "lines": lines, "unknown": unknown, "certificates": made, "approximate": approximate}


def _line(line, columns, approximate):
    kind = "estimate" if approximate and line.kind == "certificate" else line.kind
    return {"columns": columns, "kind": kind, **{name: readable(getattr(line, name)) for name in ("what", "probability", "given", "is_not")}}


def readable(text):
    """Words of the ledger as HTML: names between backticks as code, failure probabilities with the letters of the page."""
    parts = str(escape(text)).split("`")
    plain = [re.sub(r"\bd[12]?\b", lambda found: _SYMBOLS[found[0]], part) for part in parts[::2]]
    code = [f"<code>{part}</code>" for part in parts[1::2]]
    return Markup("".join(piece for pair in zip(plain, [*code, ""], strict=True) for piece in pair))


def _certificate(section, family, row):
    """{"slug", "home", "sampling", "share", "statements"} of one certificate: what it and each statement beside it were made with."""
    folder = f"{family}/{row['checkpoint']}/quantizers/{row['quantizer']}/certificate"
    section.json(f"{folder}/certificate.json", "certify")
    data = read_certificate(section.file(f"{folder}/certificate.json"))
    return {
        "slug": row["checkpoint"],
        "home": f"{anchor(family, row['checkpoint'])}/quantizers/{anchor(row['quantizer'])}/certificate",
        "sampling": data["sampling"],
        "share": number(100 * data["share_of_training"], 0),
        "statements": [_statement(statement) for statement in statements(data)],
    }


def _statement(statement):
    settings, windows = statement["settings"], statement["windows"]
    return {
        "value": number(statement["value"]),
        "method": METHODS.get(settings["method"], str(settings["method"])),
        "confidence": CONFIDENCE.get(settings["confidence"], str(settings["confidence"])),
        "from": significant(statement["from"]),
        "d": [significant(settings[f"{name}_failure_probability"]) for name in ("stream", "draw")],
        "windows": [whole(windows[name]) for name in ("pilot", "rest")],
    }
