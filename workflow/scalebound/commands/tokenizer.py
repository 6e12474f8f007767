"""Train the byte-level BPE tokenizer of a stream on the documents set apart for it."""

import hashlib
from pathlib import Path

from scalebound.artifacts import atomic
from scalebound.artifacts.provenance import describe_files, identity
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.configuration.streams import WheelStream
from scalebound.corpus import documents, tokenizer
from scalebound.errors import InputError

GROUP = "streams and training"


def add_arguments(parser):
    add_settings(parser, WheelStream)
    parser.add_argument("--documents", required=True, help="documents.parquet")
    parser.add_argument("--wheels", required=True, help="folder of the wheels")
    parser.add_argument("--out", required=True, help="tokenizer.json, readable by the tokenizers library")
    parser.add_argument("--out-identity", required=True, help="identity of the tokenizer")


def run(arguments):
    settings = read_settings(arguments, WheelStream).tokenizer
    rows = documents.read_list(arguments.documents)
    texts = documents.read_texts([row for row in rows if row["split"] == "tokenizer"], Path(arguments.wheels))
    text = tokenizer.train(texts, settings.vocab_size).to_str(pretty=True) + "\n"
    found = hashlib.sha256(text.encode()).hexdigest()
    if settings.sha256 not in (None, found):
        raise InputError(arguments.out, f"sha256 {found}, the configuration pins {settings.sha256}", "Correct `tokenizer.sha256` if the change is meant")
    atomic.write_bytes(arguments.out, text.encode())
    made_of = identity("tokenizer", {"documents": arguments.documents}, settings.model_dump(), packages=["tokenizers"])
    out = Path(arguments.out)
    facts = {"files": describe_files(out.parent, [out.name]), "vocab_size": settings.vocab_size}
    atomic.write_json(arguments.out_identity, {"identity": made_of, **facts})
    print(f"tokenizer with {settings.vocab_size} entries, sha256 {found}")
    return [arguments.out, arguments.out_identity]
