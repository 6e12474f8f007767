"""Fetch a released checkpoint into the hub's cache (HF_HOME) and verify every file (network)."""

from pathlib import Path

from scalebound.artifacts import atomic
from scalebound.artifacts.provenance import check_keys, file_sha256, identity, read_json
from scalebound.commands.arguments import read_json_option
from scalebound.configuration.config import Hub

GROUP = "checkpoints"
NETWORK = True


def add_arguments(parser):
    parser.add_argument("--located", required=True, help="hub.json")
    parser.add_argument("--hub", required=True, metavar="JSON", help="the Hub section of the configuration, as JSON")
    parser.add_argument("--out", required=True, help="fetched.json: repository, commit, files with sha256")


def run(arguments):
    from scalebound.hub.retrying import Patience
    from scalebound.hub.snapshot import fetch

    hub, located = read_json_option(arguments.hub, Hub, "--hub"), read_json(arguments.located, "resolve-hub", {"hub": dict, "checkpoint": dict})
    check_keys(located["hub"], {"repo": str, "commit": str, "files": list, "weights": list}, arguments.located)
    done = fetch(located["hub"], Patience(attempts=hub.attempts))
    files = [_described(Path(done["folder"]), file) for file in done["files"]]
    made_of = identity("fetch", {"located": arguments.located}, {}, packages=["huggingface_hub"])
    place = {"repo": located["hub"]["repo"], "commit": located["hub"]["commit"]}
    atomic.write_json(arguments.out, {"identity": made_of, "hub": place, "files": files, "checkpoint": located["checkpoint"]})
    print(f"{len(files)} files of {place['repo']} at {place['commit']}, verified: {done['bytes'] / 1e9:.2f} GB")
    return [arguments.out]


def _described(folder, file):
    """{name, bytes, sha256} of a verified file: large files were verified by their sha256, small ones by a git digest."""
    return {"name": file["path"], "sha256": file.get("sha256") or file_sha256(folder / file["path"]), "bytes": file["size"]}
