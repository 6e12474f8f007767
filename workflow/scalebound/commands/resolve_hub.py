"""Resolve a released checkpoint: branch to commit, weight files to digests, and whether the branch serves the step it names (network)."""

from scalebound.artifacts import atomic
from scalebound.artifacts.provenance import identity
from scalebound.commands.arguments import add_settings, read_json_option, read_settings
from scalebound.configuration.checkpoints import Checkpoint
from scalebound.configuration.config import Hub
from scalebound.errors import InputError

GROUP = "checkpoints"
NETWORK = True


def add_arguments(parser):
    add_settings(parser, Checkpoint)
    parser.add_argument("--hub", required=True, metavar="JSON", help="the Hub section of the configuration, as JSON")
    parser.add_argument("--out", required=True, help="hub.json: repository, commit, files with size and digest")


def run(arguments):
    from scalebound.hub.retrying import Patience
    from scalebound.hub.revisions import resolve_revision

    checkpoint, hub = read_settings(arguments, Checkpoint), read_json_option(arguments.hub, Hub, "--hub")
    if checkpoint.source != "hub":
        raise InputError("--settings", f"source {checkpoint.source!r}", "Only checkpoints of source hub are resolved there")
    known_equal = hub.known_equal.get(checkpoint.repo, [])
    found = resolve_revision(checkpoint.repo, checkpoint.revision, checkpoint.step, known_equal, patience=Patience(attempts=hub.attempts))
    settings = {**checkpoint.model_dump(exclude={"note"}), "known_equal": known_equal}
    made_of = identity("resolve-hub", {}, settings, packages=["huggingface_hub"])
    atomic.write_json(arguments.out, {"identity": made_of, "hub": found, "checkpoint": checkpoint.model_dump(exclude={"note"})})
    size = sum(file["size"] for file in found["files"])
    if found["notice"]:
        print(f"notice: {found['notice']}")
    print(f"{checkpoint.repo} {checkpoint.revision} is commit {found['commit']}: {len(found['files'])} files, {size / 1e9:.2f} GB")
    return [arguments.out]
