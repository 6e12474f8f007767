"""Draw the rows of an oracle stream from a trained model."""

from pathlib import Path

from scalebound.artifacts import atomic
from scalebound.artifacts.provenance import describe_files, identity
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.configuration.streams import OracleStream
from scalebound.corpus import rows

GROUP = "streams and training"

FILES = ("config.json", "model.safetensors")


def add_arguments(parser):
    add_settings(parser, OracleStream)
    parser.add_argument("--oracle", required=True, help="folder of the oracle: config.json and model.safetensors")
    parser.add_argument("--out", required=True, help="tokens.bin: uint16, little endian, row after row")
    parser.add_argument("--out-stream", required=True, help="stream.json: rows, row length, vocabulary, sha256, identity")


def run(arguments):
    import torch

    from scalebound.oracle import generation
    from scalebound.oracle.loading import load_oracle

    settings = read_settings(arguments, OracleStream)
    # one thread: a sum's order, and with it every bit of the result, does not depend on the machine's load
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model, causality = load_oracle(arguments.oracle, settings.vocab_size, settings.row_tokens)
    with atomic.replacing(arguments.out) as temporary:
        with open(temporary, "wb") as file:
            for block in generation.generate(model, settings.rows, settings.row_tokens, settings.seed, f"generate {settings.rows} rows"):
                file.write(block.astype("<u2").tobytes())
        found, pinned = rows.check_pin(temporary, settings.sha256, arguments.out)
    made_of = identity(
        "generate",
        {str(path): path for path in (Path(arguments.oracle) / name for name in FILES)},
        {"pinned": pinned, **settings.model_dump(exclude={"kind", "sha256"})},
        packages=["numpy", "torch", "transformers"],
        device="cpu",
        dtype="float32",
        threads=1,
        rows_per_batch=generation.BATCH_ROWS,
        causality=causality,
    )
    out = Path(arguments.out)
    stream = {"rows": settings.rows, "row_tokens": settings.row_tokens, "vocab_size": settings.vocab_size}
    atomic.write_json(arguments.out_stream, {"identity": made_of, **stream, "files": describe_files(out.parent, [out.name])})
    print(f"{settings.rows} rows of {settings.row_tokens} tokens drawn from {arguments.oracle}, sha256 {found}")
    return [arguments.out, arguments.out_stream]
