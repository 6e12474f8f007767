"""Fix the identity of a checkpoint: which files hold it, their sha256, its architecture, what it has seen."""

from pathlib import Path

from scalebound import atomic
from scalebound.checkpoints import Checkpoint
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.provenance import describe_files, identity

FILES = ("config.json", "model.safetensors")


def add_arguments(parser):
    add_settings(parser, Checkpoint)
    parser.add_argument("--folder", required=True, help="folder with config.json and model.safetensors")
    parser.add_argument("--out", required=True, help="resolved.json: folder, files, n_params, vocab_size, row of the table")
    parser.add_argument("--out-architecture", required=True, help="architecture.json: configuration and ordered parameters")


def run(arguments):
    from scalebound import model_files
    from scalebound.architecture import describe

    checkpoint, folder = read_settings(arguments, Checkpoint), Path(arguments.folder)
    model_files.check_finite(folder / "model.safetensors")
    architecture = describe(folder)
    made_of = identity("resolve", {name: folder / name for name in FILES}, checkpoint.model_dump(), packages=["torch", "transformers"])
    atomic.write_json(arguments.out_architecture, {"identity": made_of, **architecture})
    facts = {key: architecture[key] for key in ("n_params", "vocab_size")}
    atomic.write_json(
        arguments.out,
        {"identity": made_of, "folder": str(folder), "files": describe_files(folder, FILES), **facts, "checkpoint": checkpoint.model_dump()},
    )
    print(f"{checkpoint.family}/{checkpoint.slug}: {facts['n_params']:,} parameters, {checkpoint.tokens_seen / facts['n_params']:.2f} tokens per parameter")
    return [arguments.out, arguments.out_architecture]
