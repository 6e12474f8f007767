"""The documents of a corpus: deduplicated, in a seeded order, split once and for all."""

import hashlib
import random
from pathlib import Path

from scalebound.artifacts.parquet import read_parquet
from scalebound.configuration.streams import PYTHON
from scalebound.corpus import wheels as wheel_files
from scalebound.errors import InputError

SPLITS = ("tokenizer", "heldout", "train")
_COLUMNS = {"position": int, "split": str, "wheel": str, "path": str, "bytes": int, "sha256": str}


def list_documents(paths, suffixes=PYTHON):
    """Rows {wheel, path, bytes, sha256} for every distinct UTF-8 document, and how many were left out and why.

    A document is a file of a wheel whose name ends in one of the `suffixes`.
    """
    rows, seen, left_out = [], set(), {"duplicate": 0, "not UTF-8": 0}
    for wheel in paths:
        for name, text in wheel_files.documents(wheel, lambda name: name.endswith(tuple(suffixes))):
            digest = hashlib.sha256(text).hexdigest()
            if digest in seen:
                left_out["duplicate"] += 1
            elif not _is_utf8(text):
                left_out["not UTF-8"] += 1
            else:
                seen.add(digest)
                rows.append({"wheel": wheel.name, "path": name, "bytes": len(text), "sha256": digest})
    return rows, left_out


def order_and_split(rows, seed, tokenizer_fraction, heldout_fraction):
    """The rows in seeded order, each with its split; fractions are of the bytes.

    The tokenizer's documents and the held-out ones come first, the training stream is the rest: the tokenizer is
    then fixed before the stream is looked at, which the bounds need.
    """
    # sorted by digest first, so that the order does not depend on how the archives list their files
    rows = sorted(rows, key=lambda row: row["sha256"])
    random.Random(seed).shuffle(rows)
    total, before, split = sum(row["bytes"] for row in rows), 0, []
    for position, row in enumerate(rows):
        share = before / total
        name = SPLITS[0] if share < tokenizer_fraction else SPLITS[1] if share < tokenizer_fraction + heldout_fraction else SPLITS[2]
        split.append({"position": position, "split": name, **row})
        before += row["bytes"]
    return split


def read_list(path):
    """The rows of documents.parquet as dicts. Raises InputError unless each holds all that a document is known by."""
    rows = read_parquet(path, "documents").to_pylist()
    for number, row in enumerate(rows):
        odd = [name for name, kind in _COLUMNS.items() if not isinstance(row.get(name), kind)]
        if odd:
            raise InputError(path, f"row {number}: {odd[0]} {str(row.get(odd[0]))[:60]!r}", "Delete it and let snakemake make it again")
        if Path(row["wheel"]).name != row["wheel"]:
            raise InputError(path, f"row {number}: wheel {row['wheel'][:60]!r} is no file name", "Delete it and let snakemake make it again")
    return rows


def read_texts(rows, folder):
    """Yield the text of each row, in the order of the rows, from the wheels in `folder`.

    Raises:
        InputError: a document is missing, is not the one whose digest the row holds, or is no UTF-8.
    """
    cache = {}
    for row in rows:
        if row["wheel"] not in cache:
            wanted = {r["path"] for r in rows if r["wheel"] == row["wheel"]}
            cache[row["wheel"]] = dict(wheel_files.documents(folder / row["wheel"], wanted.__contains__))
        text = cache[row["wheel"]].pop(row["path"], None)
        if text is None or hashlib.sha256(text).hexdigest() != row["sha256"] or not _is_utf8(text):
            raise InputError(folder / row["wheel"], f"{row['path']} is not the document that the manifest lists", "Run snakemake again from `documents`")
        yield text.decode("utf-8")


def _is_utf8(text):
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
