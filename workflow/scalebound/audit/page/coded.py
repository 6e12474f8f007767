"""The code of a compressed model on the audit page: candidates weighed, tuning, and what each tensor takes."""

import math

from scalebound.audit.page import charts
from scalebound.audit.page.values import number, size, whole

BARS_SHOWN = 12


def coded(section, folder):
    """code.json of `compress`: a message whose length was in the aim, so that there is no nominal length beside it."""
    checkpoint = folder.rsplit("/quantizers/", 1)[0]
    data = section.json(f"{folder}/encode/code.json", "compress")
    architecture = section.json(f"{checkpoint}/resolve/architecture.json", "resolve")
    decoded = section.json(f"{folder}/decode/decoded.json", "decode")
    entries = {parameter["name"]: math.prod(parameter["shape"]) for parameter in architecture["parameters"]}
    tensors = sorted(((name, entries[name], bits) for name, bits in data["bits_by_parameter"].items()), key=lambda tensor: -tensor[2])
    rest, settings = data["code_length_bits"] - sum(bits for *_, bits in tensors), data["identity"]["settings"]
    bars = [(name, bits, None, f"{bits:,.0f} bits, {bits / count:.2f} each") for name, count, bits in _shown(tensors)]
    bars.append(("header and self-delimiting length", max(rest, 0), None, f"{rest:,.0f} bits"))
    facts = [
        ("message", "the file from which the compressed model is decoded", size(data["bytes"])),
        ("code length L, in bits", "8 × bytes, and what makes the message self-delimiting", whole(data["code_length_bits"])),
        ("coded bits per parameter", "L / N: what the message really takes; there is no nominal length", number(data["coded_bits_per_param"], 3)),
        ("tokens tuned on", "predictions of a draw of its own", whole(data["tuned_tokens"])),
        ("share of training", "tokens tuned on, by the tokens that the checkpoint was trained on", number(data["share_of_training"], 3)),
    ]
    return {
        "coded": True,
        "facts": facts,
        "settings": ", ".join(f"{key.replace('_', ' ')} {_words(value)}" for key, value in sorted(settings.items())),
        "chart": charts.named_bars(bars, "Coded bits of each tensor, largest first"),
        "candidates": [_candidate(candidate, k == data["chosen"]) for k, candidate in enumerate(data["candidates"])],
        "tensors": [(name, [whole(count), number(bits, 0), number(bits / count, 2)]) for name, count, bits in tensors],
        "rest": number(rest, 0),
        "files": section.vouched(data["files"], f"{folder}/encode") + section.vouched(decoded["files"], f"{folder}/decode"),
    }


def _candidate(candidate, chosen):
    cells = [whole(candidate["exponent"]), number(candidate["bits"], 0), number(candidate["loss"], 4), number(candidate["price"], 4)]
    return {"name": "tuned" if candidate["tuned"] else "rounded", "cells": cells, "chosen": chosen}


def _shown(tensors):
    """The largest, and the others as one bar."""
    others = tensors[BARS_SHOWN:]
    merged = [(f"{len(others)} smaller tensors", sum(count for _, count, _ in others), sum(bits for *_, bits in others))] if others else []
    return [*tensors[:BARS_SHOWN], *merged]


def _words(value):
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key.replace('_', ' ')} {_words(inner)}" for key, inner in sorted(value.items())) + ")"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
