"""The sections of the audit page that say where a bound comes from: code, windows, checkpoint, training, stream."""

import json
from collections import Counter

import numpy as np

from scalebound.audit.page import charts
from scalebound.audit.page.coded import coded
from scalebound.audit.page.scores import BINS, losses_of, stream_of
from scalebound.audit.page.values import number, short, significant, size, whole
from scalebound.corpus.documents import SPLITS
from scalebound.corpus.rows import MAKERS

BARS_SHOWN = 12
CODE_STAGES = ("encode", "compress")
_SPLIT_NAMES = {"tokenizer": "for the tokenizer", "heldout": "held out", "train": "for training"}


def configuration(section, family):
    """What the results of a family follow from, every default filled in, and how its table was collected."""
    data = section.json(f"{family}/config.json", "resolved-config")
    section.json(f"{family}/bounds.identity.json", "table")
    bound = data["config"]["bound"]
    facts = [
        ("failure probability δ of each bound", significant(bound["failure_probability"])),
        ("grid of s, |K|", whole(bound["s_points"])),
        ("grid of α, |G|", whole(bound["alpha_points"])),
        ("the paper’s quantizer", str(data["config"]["paper_quantizer"])),
    ]
    return {"facts": facts, "json": json.dumps({key: data[key] for key in ("config", "checkpoints")}, indent=1, sort_keys=True)}


def code(section, folder):
    """The message that the quantized model is written as, tensor by tensor."""
    data = section.json(f"{folder}/encode/code.json", CODE_STAGES)
    if data["identity"]["stage"] == "compress":
        return coded(section, folder)
    report = section.json(f"{folder}/quantize/quantization.json", "quantize")
    decoded = section.json(f"{folder}/decode/decoded.json", "decode")
    settings = data["identity"]["settings"]
    tensors = [_tensor(line, data["bits_by_parameter"], settings["bits"]) for line in report["parameters"]]
    rest = data["code_length_bits"] - sum(tensor["bits"] for tensor in tensors)
    escalated = sum(1 for line in report["parameters"] if line["damping_escalated"])
    facts = [
        ("message", "the file from which the quantized model is decoded", size(data["bytes"])),
        ("code length L", "8 × bytes, and what makes the message self-delimiting", _bits(data["code_length_bits"])),
        ("coded bits per parameter", "L / N: what the message really takes", number(data["coded_bits_per_param"], 3)),
        ("nominal bits per parameter", "the paper’s accounting: scales and exceptions left out", number(data["nominal_bits_per_param"], 3)),
        ("squared error of the weights", "sum over all entries", significant(sum(tensor["error"] for tensor in tensors))),
        *_methods(report["parameters"]),
    ]
    if any(line["damping"] is not None for line in report["parameters"]):
        facts.append(("tensors with raised damping", f"above the configured {settings['damping']}", whole(escalated)))
    return {
        "coded": False,
        "facts": facts,
        "settings": ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in sorted(settings.items())),
        "chart": charts.named_bars(_bars(tensors, rest), "Coded bits of each tensor, largest first; a tick marks the nominal bits"),
        "tensors": [_tensor_row(tensor) for tensor in tensors],
        "rest": whole(rest),
        "files": section.vouched(data["files"], f"{folder}/encode") + section.vouched(decoded["files"], f"{folder}/decode"),
    }


def _methods(lines):
    """How many tensors were rounded by each method."""
    names = {"rtn": "tensors to nearest", "gptq": "tensors by GPTQ", "incoherent": "tensors by GPTQ in a random basis"}
    counts = Counter(line["method"] for line in lines)
    return [(names.get(method, f"tensors by {method}"), f"of {len(lines)}", whole(counts[method])) for method in sorted(counts)]


def draw(section, checkpoint, name):
    """The windows of one draw: from where, with which seed, and how evenly."""
    rows, tokens, made = section.windows(f"{checkpoint}/sample/{name}/windows.parquet")
    settings = made["settings"]
    seen = settings["rows_seen"]
    # about four windows a bin, so that an uneven draw can be told from chance
    edges = np.linspace(0, seen, min(BINS, seen, max(4, len(rows) // 4)) + 1)
    counts, _ = np.histogram(rows, edges)
    label = f"Histogram of the {len(rows)} drawn row ids over the {seen} rows that the checkpoint saw; counts from {counts.min()} to {counts.max()}"
    facts = [
        ("windows", whole(len(rows))),
        ("distinct rows", whole(len(np.unique(rows)))),
        ("seed", str(settings["seed"])),
        ("rows drawn from", whole(seen)),
        ("tokens of a window", whole(tokens.shape[1])),
        ("predictions in the draw", whole(tokens.shape[0] * (tokens.shape[1] - 1))),
        ("predictions seen by the checkpoint", whole(settings["tokens_seen"])),
        ("the draw is", str(made["sampling"])),
    ]
    chart = charts.counts(edges, counts, len(rows) / (len(edges) - 1), "row id in the stream", label)
    source = made["inputs"].get("tokens") or made["inputs"]["stream"]
    shown = {"sha256": made["tokens_sha256"], "source": str(source["path"]), "stream": stream_of(made)}
    return {"facts": facts, "chart": chart, "approximate": made["sampling"] != "unbiased", **shown}


def resolved(section, checkpoint):
    """Which files hold the checkpoint and what it has seen."""
    data = section.json(f"{checkpoint}/resolve/resolved.json", "resolve")
    architecture = section.json(f"{checkpoint}/resolve/architecture.json", "resolve")
    row = data["checkpoint"]
    facts = [
        *_place(data, row),
        ("step", whole(row["step"])),
        ("parameters N", whole(data["n_params"])),
        ("predictions seen n", whole(row["tokens_seen"])),
        ("tokens per parameter n/N", number(row["tokens_seen"] / data["n_params"], 2)),
        ("vocabulary V", whole(data["vocab_size"])),
        ("architecture", ", ".join(map(str, architecture["config"].get("architectures") or ["not named"]))),
    ]
    return {
        "facts": facts,
        "files": section.listed(data["files"], f"{data['hub']['repo']}@{data['hub']['commit']}" if "hub" in data else str(data["folder"])),
        "note": _note(section, row),
        "config": json.dumps(architecture["config"], indent=1, sort_keys=True),
        "heading": [(short(data["n_params"]), "parameters"), (short(row["tokens_seen"]), "tokens"), (whole(row["step"]), "steps")],
        "stream": row["stream"],
    }


def _place(data, row):
    """Where the weights come from, in the words of the row's source."""
    if row["source"] == "hub":
        return [("released as", str(row["repo"])), ("revision", str(row["revision"])), ("commit", str(data["hub"]["commit"]))]
    if row["source"] == "local":
        return [("folder", str(row["repo"]))]
    return [("training run", str(row["repo"])), ("revision", str(row["revision"]))]


def _note(section, row):
    """What the table of checkpoints says to its readers about this one; the configuration has it, no identity does."""
    saved = section.configured(row["family"])
    found = (str(entry.get("note", "")) for entry in saved["checkpoints"] if entry["slug"] == row["slug"])
    return next(found, "")


def training(section, checkpoint):
    """The training loss of the run up to and beyond the checkpoint."""
    row = section.json(f"{checkpoint}/resolve/resolved.json", "resolve")["checkpoint"]
    sampled = float(losses_of(section, f"{checkpoint}/score/scores.parquet").mean())
    table, _ = section.table(f"training/{row['repo']}/loss.parquet", "train")
    steps, losses = (table[name].to_numpy().astype(np.float64) for name in ("step", "loss"))
    shown = _thin(steps, losses)
    label = (
        f"Training loss of run {row['repo']} from {losses[0]:.3f} nats at step 1 to {losses[-1]:.3f} at step {int(steps[-1])}; checkpoint at step {row['step']}"
    )
    facts = [
        ("steps of the run", whole(len(steps))),
        ("first loss", number(losses[0])),
        (f"loss of the batch at step {row['step']}", number(losses[list(steps).index(row["step"])])),
        ("loss of the checkpoint on the scored windows", number(sampled)),
    ]
    return {"facts": facts, "chart": charts.curve(*shown, row["step"], sampled, label), "thinned": len(shown[0]) < len(steps)}


def documents(section, stream):
    """How many documents of each wheel went into each part of a stream."""
    table, made = section.table(f"streams/{stream}/documents.parquet", "documents")
    frame = table.select(["split", "wheel", "bytes"]).to_pandas()
    rows = []
    for wheel, part in frame.groupby("wheel", sort=True):
        rows.append((wheel, [_amount(part[part["split"] == split]) for split in SPLITS]))
    rows.append(("all", [_amount(frame[frame["split"] == split]) for split in SPLITS]))
    return {
        "rows": rows,
        "splits": [_SPLIT_NAMES.get(split, split) for split in SPLITS],
        "left_out": [(reason, whole(count)) for reason, count in made["left_out"].items()],
    }


def wheels(section, stream):
    """The downloaded wheels of a stream."""
    data = section.json(f"streams/{stream}/wheels/fetched.json", "fetch-corpus")
    return {"files": section.vouched(data["files"], f"streams/{stream}/wheels")}


def tokenizer(section, stream):
    """The tokenizer of a stream."""
    section.file(f"streams/{stream}/tokenizer.json")
    data = section.json(f"streams/{stream}/tokenizer.identity.json", "tokenizer")
    return {"vocab_size": whole(data["vocab_size"]), "files": section.vouched(data["files"], f"streams/{stream}")}


def rows(section, folder):
    """The rows of tokens that training runs read."""
    data = section.json(f"{folder}/stream.json", MAKERS)
    facts = [
        ("rows", whole(data["rows"])),
        ("tokens of a row", whole(data["row_tokens"])),
        *_source(data),
        ("vocabulary V", whole(data["vocab_size"])),
        ("digest pinned in the configuration", "yes" if data["identity"]["settings"]["pinned"] else "no"),
    ]
    return {"facts": facts, "files": section.vouched(data["files"], folder), "drawn": data["identity"]["stage"] == "generate"}


def _source(data):
    """What rows were made from, in words: documents, or a checkpoint that drew them."""
    used = data["identity"]["settings"]
    if data["identity"]["stage"] == "generate":
        return [("drawn from", f"step {used['step']} of run {used['run']}, seed {used['seed']}")]
    return [
        ("documents used", whole(data["documents"])),
        ("bytes of these documents", size(data["bytes"])),
        ("order of the rows", f"one for all training runs, seed {used['row_seed']}"),
    ]


def _tensor(line, coded, bits):
    keys = ("name", "method", "bits", "group", "entries", "damping", "damping_escalated", "squared_error")
    name, method, own, group, entries, damping, escalated, error = (line[key] for key in keys)
    made = {"name": name, "method": method, "own_bits": own, "group": group, "entries": entries, "error": error, "bits": coded[name]}
    return {**made, "nominal": bits * entries, "damping": damping, "escalated": escalated}


def _tensor_row(tensor):
    damping = "" if tensor["damping"] is None else significant(tensor["damping"])
    cells = [whole(tensor["entries"]), whole(tensor["own_bits"]), whole(tensor["group"]), whole(tensor["nominal"]), whole(tensor["bits"])]
    cells += [number(tensor["bits"] / tensor["entries"], 2), damping, significant(tensor["error"])]
    return {"name": tensor["name"], "method": tensor["method"], "cells": cells, "escalated": tensor["escalated"]}


def _bars(tensors, rest):
    ordered = sorted(tensors, key=lambda tensor: -tensor["bits"])
    bars = [(t["name"], t["bits"], t["nominal"], f"{t['bits']:,} bits, {t['bits'] / t['entries']:.2f} each") for t in ordered[:BARS_SHOWN]]
    others = ordered[BARS_SHOWN:]
    if others:
        total, entries = sum(t["bits"] for t in others), sum(t["entries"] for t in others)
        bars.append((f"{len(others)} smaller tensors", total, sum(t["nominal"] for t in others), f"{total:,} bits, {total / entries:.2f} each"))
    return [*bars, ("header and self-delimiting length", rest, None, f"{rest:,} bits")]


def _bits(count):
    return whole(count) + " bits"


def _amount(part):
    return whole(len(part)), size(int(part["bytes"].sum()))


def _thin(steps, losses, points=240):
    """At most `points` of a curve: means of groups of steps that are even on a logarithmic axis."""
    if len(steps) <= points:
        return steps, losses
    starts = np.unique(np.geomspace(1, len(steps), points).astype(int) - 1)
    counts = np.diff([*starts, len(steps)])
    return np.add.reduceat(steps, starts) / counts, np.add.reduceat(losses, starts) / counts
