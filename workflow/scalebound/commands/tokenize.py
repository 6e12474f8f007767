"""Turn the training documents of a stream into rows of tokens, in the order that every training run reads them."""

from pathlib import Path

from scalebound.artifacts import atomic
from scalebound.artifacts.provenance import describe_files, identity
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.configuration.streams import WheelStream
from scalebound.corpus import documents, rows, tokenizer

GROUP = "streams and training"


def add_arguments(parser):
    add_settings(parser, WheelStream)
    parser.add_argument("--documents", required=True, help="documents.parquet")
    parser.add_argument("--wheels", required=True, help="folder of the wheels")
    parser.add_argument("--tokenizer", required=True, help="tokenizer.json")
    parser.add_argument("--out", required=True, help="tokens.bin: uint16, little endian, row after row")
    parser.add_argument("--out-stream", required=True, help="stream.json: rows, row length, vocabulary, sha256, identity")


def run(arguments):
    settings = read_settings(arguments, WheelStream)
    training = [row for row in documents.read_list(arguments.documents) if row["split"] == "train"]
    texts = documents.read_texts(training, Path(arguments.wheels))
    ids = tokenizer.encode_documents(tokenizer.read(arguments.tokenizer, settings.tokenizer.vocab_size), texts)
    with atomic.replacing(arguments.out) as temporary:
        count = rows.write_shuffled_rows(ids, settings.row_tokens, settings.row_seed, temporary)
        found, pinned = rows.check_pin(temporary, settings.sha256, arguments.out)
    made_of = identity(
        "tokenize",
        {"documents": arguments.documents, "tokenizer": arguments.tokenizer},
        {"row_tokens": settings.row_tokens, "row_seed": settings.row_seed, "pinned": pinned},
        packages=["numpy", "tokenizers"],
    )
    stream = {"rows": count, "row_tokens": settings.row_tokens, "vocab_size": settings.tokenizer.vocab_size, "row_seed": settings.row_seed}
    out = Path(arguments.out)
    stream |= {"files": describe_files(out.parent, [out.name]), "documents": len(training), "bytes": sum(row["bytes"] for row in training)}
    atomic.write_json(arguments.out_stream, {"identity": made_of, **stream})
    print(f"{count} rows of {settings.row_tokens} tokens from {len(training)} documents, sha256 {found}")
    return [arguments.out, arguments.out_stream]
