"""Fix the identity of a checkpoint: which files hold it, their sha256, its architecture, what it has seen."""

from pathlib import Path

from scalebound.artifacts import atomic
from scalebound.artifacts.model_files import model_files
from scalebound.artifacts.provenance import check_keys, describe_files, identity, read_json
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.configuration.checkpoints import Checkpoint
from scalebound.errors import InputError

GROUP = "checkpoints"
EXAMPLE = '--settings "$(cat settings.json)" --folder my-model --out resolved.json --out-architecture architecture.json'


def add_arguments(parser):
    add_settings(parser, Checkpoint)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--folder", help="folder with config.json and safetensors")
    place.add_argument("--fetched", help="fetched.json of a released checkpoint")
    parser.add_argument("--out", required=True, help="resolved.json: place, files, n_params, vocab_size, row of the table")
    parser.add_argument("--out-architecture", required=True, help="architecture.json: configuration and ordered parameters")


def run(arguments):
    import torch

    from scalebound.models import files, loading
    from scalebound.models.architecture import describe

    checkpoint = read_settings(arguments, Checkpoint)
    place, inputs = _local(Path(arguments.folder)) if arguments.folder else _released(arguments.fetched, checkpoint)
    folder = files.folder_of(place)
    files.check_weights(folder, place["files"])
    architecture = describe(folder)
    # names, shapes and ties of all that is read are those of the architecture: a decoder knows no others
    loading.read_model(folder, torch.device("cpu"), None, files.weights_of(place))
    made_of = identity("resolve", inputs, checkpoint.model_dump(exclude={"note"}), packages=["torch", "transformers"])
    atomic.write_json(arguments.out_architecture, {"identity": made_of, **architecture})
    facts = {key: architecture[key] for key in ("n_params", "vocab_size")}
    atomic.write_json(arguments.out, {"identity": made_of, **place, **facts, "checkpoint": checkpoint.model_dump(exclude={"note"})})
    print(f"{checkpoint.family}/{checkpoint.slug}: {facts['n_params']:,} parameters, {checkpoint.tokens_seen / facts['n_params']:.2f} tokens per parameter")
    return [arguments.out, arguments.out_architecture]


def _local(folder):
    """(place, inputs) of a folder: its configuration and its safetensors, with their index when they are sharded."""
    names = model_files(folder)
    if not (folder / names[-1]).is_file():
        raise InputError(folder, f"no safetensors in it: {names[-1]} is missing", "Give a folder with config.json and safetensors")
    return {"folder": str(folder), "files": describe_files(folder, names)}, {str(folder / name): folder / name for name in names}


def _released(path, checkpoint):
    """(place, inputs) of a checkpoint of the hub, whose files lie in the hub's cache under their commit."""
    fetched = read_json(path, "fetch", {"hub": dict, "files": list})
    check_keys(fetched["hub"], {"repo": str, "commit": str}, path)
    if fetched["hub"]["repo"] != checkpoint.repo:
        raise InputError(path, f"repository {fetched['hub']['repo']}, the row says {checkpoint.repo}", "Give the file of this checkpoint")
    return {"hub": fetched["hub"], "files": fetched["files"]}, {"fetched": path}
