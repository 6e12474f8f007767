"""Fetching by commit: every byte verified, faults survived or told once, and everything found again without a hub."""

import errno
import hashlib
import json
import os
from pathlib import Path

import hub_client
import huggingface_hub
import pytest
from hub_server import File

from scalebound import cli
from scalebound.artifacts import provenance
from scalebound.commands import fetch as commands_fetch
from scalebound.errors import InputError
from scalebound.hub import digests
from scalebound.hub.cache import cache_folder, remove_partial_downloads
from scalebound.hub.revisions import resolve_revision
from scalebound.hub.snapshot import fetch, offline_folder

REPO = "org/tiny"
WEIGHTS = bytes(range(256)) * 400
FILES = {"config.json": b'{"a": 1}', "tokenizer.json": b"{}", "model.safetensors": WEIGHTS, "README.md": b"words", "flax_model.msgpack": b"f" * 999}
NAMES = ["config.json", "model.safetensors", "tokenizer.json"]


@pytest.fixture
def resolved(hub, waits):
    hub.add_model(REPO, {"step1": FILES, "main": {**FILES, "model.safetensors": b"end"}})
    found = resolve_revision(REPO, "step1", 1, patience=waits.patience)
    hub.clear()
    return found


def content(folder):
    return {name: (folder / name).read_bytes() for name in NAMES}


def expected():
    return {name: FILES[name] for name in NAMES}


def test_exactly_the_resolved_files_arrive(hub, resolved, waits):
    done = fetch(resolved, waits.patience)
    folder = offline_folder(REPO, resolved["commit"], NAMES)
    assert str(folder) == done["folder"]
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    assert content(folder) == expected()
    assert (done["bytes"], done["refetched"], done["freed_bytes"]) == (len(WEIGHTS) + 10, [], 0)
    # a listing to fetch and one to verify; a HEAD and a GET for each file, and each byte once
    assert (hub.count("/tree/"), hub.count("HEAD"), hub.count("GET .*resolve")) == (2, 3, 3)
    assert hub.body_bytes("resolve") == done["bytes"]


def test_a_second_fetch_transfers_no_file(hub, resolved, waits):
    fetch(resolved, waits.patience)
    hub.clear()
    fetch(resolved, waits.patience)
    assert hub.count("resolve") == 0


def test_the_command_reads_the_weights_once(hub, resolved, tmp_path, monkeypatch):
    """They are tens of gigabytes: what was verified by its sha256 is described by that sha256."""
    reads = []
    for module, name in ((digests, "_hash"), (provenance, "file_sha256"), (commands_fetch, "file_sha256")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda path, *more, real=real: reads.append(Path(path).name) or real(path, *more))
    located, out = tmp_path / "hub.json", tmp_path / "fetched.json"
    located.write_text(json.dumps({"identity": {"stage": "resolve-hub"}, "hub": resolved, "checkpoint": {}}))
    assert cli.main(["fetch", "--located", str(located), "--hub", "{}", "--out", str(out)]) == 0
    assert reads.count("model.safetensors") == 1
    wanted = [{"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in sorted(expected().items())]
    assert json.loads(out.read_text())["files"] == wanted


def test_every_file_that_is_always_wrong_is_taken_out_of_the_cache(hub, resolved, waits):
    hub.fault("GET .*resolve.*(model.safetensors|tokenizer.json)", "flip", times=None)
    with pytest.raises(InputError, match=r"model.safetensors: delivered twice with wrong bytes"):
        fetch(resolved, waits.patience)
    folders = {path.parent for path in cache_folder().rglob("config.json")}
    assert [path.name for folder in folders for path in folder.iterdir()] == ["config.json"]


@pytest.mark.parametrize("kind", ["503", "429", "reset", "cut"])
@pytest.mark.parametrize("endpoint", ["/tree/", "HEAD .*model.safetensors", "GET .*model.safetensors", "GET .*config.json"])
def test_faults_that_pass(hub, resolved, waits, endpoint, kind):
    hub.fault(endpoint, kind, times=2, retry_after=2 if kind == "429" else None)
    fetch(resolved, waits.patience)
    assert content(offline_folder(REPO, resolved["commit"], NAMES)) == expected()
    # no partial download stays behind
    assert not list((offline_folder(REPO, resolved["commit"], NAMES).parents[1] / "blobs").glob("*.incomplete"))


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_byte_is_fetched_again(hub, resolved, waits, name):
    hub.fault(f"GET .*resolve.*{name}", "flip")
    done = fetch(resolved, waits.patience)
    assert done["refetched"] == [name]
    assert content(offline_folder(REPO, resolved["commit"], NAMES)) == expected()
    assert "the hub says" in waits.lines[0]


def test_a_byte_that_is_always_flipped_is_refused_and_not_kept(hub, resolved, waits):
    hub.fault("GET .*resolve.*model.safetensors", "flip", times=None)
    with pytest.raises(InputError, match=r"model.safetensors: delivered twice with wrong bytes: sha256"):
        fetch(resolved, waits.patience)
    with pytest.raises(InputError, match=r"model.safetensors is not in the cache|not complete in the cache"):
        offline_folder(REPO, resolved["commit"], NAMES)
    hub.clear()
    assert fetch(resolved, waits.patience)["refetched"] == []
    assert content(offline_folder(REPO, resolved["commit"], NAMES)) == expected()


def test_a_cached_file_that_was_damaged_is_fetched_again(hub, resolved, waits):
    blob = os.path.realpath(fetch(resolved, waits.patience)["folder"] + "/model.safetensors")
    os.chmod(blob, 0o644)
    with open(blob, "r+b") as file:
        file.seek(1000)
        file.write(b"?")
    assert fetch(resolved, waits.patience)["refetched"] == ["model.safetensors"]
    assert content(offline_folder(REPO, resolved["commit"], NAMES)) == expected()


def test_faults_that_stay_are_one_message(hub, resolved, waits):
    hub.fault("GET .*model.safetensors", "503", times=None)
    with pytest.raises(InputError, match=r"org/tiny at [0-9a-f]{12}: no usable answer after 4 attempts \(HTTP 503.*run the same command again later"):
        fetch(resolved, waits.patience)
    assert waits == [1, 2, 4]
    # the other files are kept
    hub.clear()
    fetch(resolved, waits.patience)
    assert hub.count("GET .*config.json") == 0


def test_a_file_that_went_missing(hub, resolved, waits):
    hub.fault("model.safetensors", "404", times=None)
    with pytest.raises(InputError, match=r"HTTP 404 on HEAD .*model.safetensors"):
        fetch(resolved, waits.patience)
    assert waits == []


def test_a_dead_hub_before_anything_is_there(hub, resolved, waits):
    hub.stop()
    with pytest.raises(InputError, match=r"no usable answer after 4 attempts"):
        fetch(resolved, waits.patience)


def test_a_dead_hub_does_not_pass_a_part_for_the_whole(hub, resolved, waits):
    hub.fault("GET .*model.safetensors", "503", times=None)
    with pytest.raises(InputError):
        fetch(resolved, waits.patience)
    hub.stop()
    with pytest.raises(InputError, match=r"no usable answer"):
        fetch(resolved, waits.patience)


OFFLINE = """
import json, sys
from scalebound.hub.snapshot import offline_folder
folder = offline_folder(*[json.loads(argument) for argument in sys.argv[1:]])
print((folder / "model.safetensors").read_bytes().hex())
"""


def test_everything_is_found_after_the_hub_has_gone(hub, resolved, waits, home):
    fetch(resolved, waits.patience)
    hub.stop()
    status, out, error = hub_client.run(OFFLINE, None, home, REPO, resolved["commit"], NAMES, HF_HUB_OFFLINE="1")
    assert (status, out.strip()) == (0, WEIGHTS.hex()), error
    status, out, error = hub_client.run(OFFLINE, None, home, REPO, resolved["commit"], [*NAMES, "merges.txt"], HF_HUB_OFFLINE="1")
    assert (status, out) == (1, "")
    assert "InputError" in error
    assert "Run the fetch stage again with network" in error


FETCH = """
import json, sys
from scalebound.hub.retrying import Patience
from scalebound.hub.snapshot import fetch
try:
    print(json.dumps(fetch(json.loads(sys.argv[1]), Patience(attempts=2, first_wait=0.1))))
except OSError as error:
    print("errno", error.errno)
    sys.exit(1)
"""


def test_fetch_is_forbidden_offline_with_one_message(hub, resolved, home):
    status, _, error = hub_client.run(FETCH, hub, home, resolved, HF_HUB_OFFLINE="1")
    assert status == 1
    assert "HF_HUB_OFFLINE is set. Unset it" in error
    assert hub.count() == 0


def test_kill_during_fetch_then_again(hub, resolved, home, waits):
    hub.fault("GET .*model.safetensors", "stall")
    process = hub_client.start(FETCH, hub, home, resolved)
    assert hub.stalled.wait(60)
    blobs = home / "hub" / "models--org--tiny" / "blobs"
    process.kill()
    process.communicate()
    left = list(blobs.glob("*.incomplete"))
    assert left
    left[0].write_bytes(bytes(12345))
    # small files are fetched at the same time, and one of them may have been cut off too
    partial = sum(path.stat().st_size for path in left)
    hub.clear()
    assert fetch(resolved, waits.patience)["freed_bytes"] == partial
    assert not list(blobs.glob("*.incomplete"))
    assert content(offline_folder(REPO, resolved["commit"], NAMES)) == expected()


def test_a_running_download_of_another_process_is_left_alone(hub, resolved, home, waits):
    hub.fault("GET .*model.safetensors", "stall")
    process = hub_client.start(FETCH, hub, home, resolved)
    try:
        assert hub.stalled.wait(60)
        remove_partial_downloads(REPO)
        weights = next(file["sha256"] for file in resolved["files"] if "sha256" in file)
        assert list((home / "hub" / "models--org--tiny" / "blobs").glob(f"{weights}.*.incomplete"))
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def shared(hub, home, resolved, waits):
    """A full cache that may be read but not written, with an unfinished download of somebody else in it."""
    fetch(resolved, waits.patience)
    left = home / "hub/models--org--tiny/blobs/aa.bb.incomplete"
    left.write_bytes(b"half")
    folders = [path for path in (home, *home.rglob("*")) if path.is_dir() and not path.is_symlink()]

    def close(mode=0o555):
        for folder in folders:
            folder.chmod(mode)

    close()
    yield left, close
    close(0o755)


def test_a_shared_cache_is_read_and_left_as_it_is(shared, hub, home, resolved):
    left, _ = shared
    status, out, error = hub_client.run(FETCH, hub, home, resolved, preexec_fn=hub_client.obey_permissions)
    assert status == 0, error
    assert json.loads(out)["freed_bytes"] == 0
    assert left.read_bytes() == b"half"


@pytest.mark.parametrize("wrong", [b"", b"?" * len(WEIGHTS)])
def test_a_shared_cache_that_lacks_a_file_names_the_way_out(shared, hub, home, resolved, wrong):
    left, close = shared
    close(0o755)
    blob = Path(os.path.realpath(next(home.rglob("snapshots/*/model.safetensors"))))
    blob.write_bytes(wrong) if wrong else blob.unlink()
    close()
    status, _, error = hub_client.run(FETCH, hub, home, resolved, preexec_fn=hub_client.obey_permissions)
    assert status == 1
    last = error.splitlines()[-1]
    assert last.startswith(f"scalebound.errors.InputError: {home}")
    assert "Permission denied: the hub's cache cannot be written. Name a cache of your own by HF_HOME" in last
    assert left.exists()


def test_an_unfinished_download_of_somebody_else_stays(hub, home, resolved, waits, monkeypatch):
    """A group may write all of a shared cache; a lock of another machine may not be seen here."""
    fetch(resolved, waits.patience)
    left = home / "hub/models--org--tiny/blobs/aa.bb.incomplete"
    left.write_bytes(b"half")
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert remove_partial_downloads(REPO) == 0
    assert left.exists()
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert remove_partial_downloads(REPO) == 4
    assert not left.exists()


@pytest.mark.skipif(not Path("/proc").exists(), reason="a folder in which nobody makes any")
def test_a_cache_that_cannot_be_made(hub, resolved):
    status, _, error = hub_client.run(FETCH, hub, Path("/proc/home"), resolved)
    assert status == 1
    assert "InputError: /proc/home: No such file or directory: the hub's cache cannot be written" in error


def test_a_full_disk_reaches_the_caller_as_such(hub, resolved, small_disk):
    place = small_disk(kilobytes=64)
    status, out, error = hub_client.run(FETCH, hub, place, resolved)
    assert (status, out) == (1, f"errno {errno.ENOSPC}\n"), error
    assert not list(place.rglob("*.incomplete"))
    # with room again, the same call does it
    hub_client.enlarge_tmpfs(place, kilobytes=1024)
    assert hub_client.run(FETCH, hub, place, resolved)[0] == 0


def test_failures_of_the_xet_transfer(hub, resolved, waits, monkeypatch):
    """The real hub's large files come through hf_xet, which no local server stands in for: its errors are RuntimeErrors."""
    said = [
        "Task error: CAS Client Error: error sending request",
        "Task error: IO error: No space left on device (os error 28)",
        "Task error: IO error: Permission denied (os error 13)",
    ]
    real = huggingface_hub.snapshot_download

    def failing(*arguments, **settings):
        if said:
            raise RuntimeError(said.pop(0))
        return real(*arguments, **settings)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", failing)
    with pytest.raises(OSError, match=r"No space left") as caught:
        fetch(resolved, waits.patience)
    assert (caught.value.errno, waits) == (errno.ENOSPC, [1])
    with pytest.raises(InputError, match=r"Permission denied: the hub's cache cannot be written"):
        fetch(resolved, waits.patience)
    assert waits == [1]
    fetch(resolved, waits.patience)
    assert content(offline_folder(REPO, resolved["commit"], NAMES)) == expected()


def test_an_index_must_name_the_resolved_shards(hub, waits):
    shards = {f"model-0000{k}-of-00002.safetensors": b"%d" % k for k in (1, 2)}
    index = json.dumps({"weight_map": dict(zip("ab", shards))}).encode()
    hub.add_model(REPO, {"main": {"config.json": b"{}", "model.safetensors.index.json": index, **shards}})
    resolved = resolve_revision(REPO, "main", 1, patience=waits.patience)
    assert fetch(resolved, waits.patience)["bytes"] == len(index) + 4
    for weights in (resolved["weights"][:1], [*resolved["weights"], "more.safetensors"]):
        with pytest.raises(InputError, match=r"not beside it|names fewer files"):
            fetch({**resolved, "weights": weights}, waits.patience)


def test_a_resolved_file_that_is_not_the_hub_s_is_refused(hub, resolved, waits):
    """An altered hub.json: the cache is not poisoned, and nothing passes."""
    files = [{**file, "sha256": "0" * 64} if "sha256" in file else file for file in resolved["files"]]
    with pytest.raises(InputError, match=r"model.safetensors: delivered twice with wrong bytes"):
        fetch({**resolved, "files": files}, waits.patience)


def test_progress_of_a_long_download_is_lines_of_bytes(hub, home, resolved):
    slow = FETCH.replace("import json, sys", "import json, sys, scalebound.progress\nscalebound.progress.SECONDS_BETWEEN_LINES = 0.0")
    status, _, error = hub_client.run(slow, hub, home, resolved)
    assert status == 0
    lines = error.splitlines()
    assert any(line.startswith("download: 100%") and "102k/102k B" in line for line in lines), error
    assert all(line.lower().startswith("download") for line in lines), error


@pytest.mark.parametrize("kind", [None, "503", "429", "reset", "cut", "flip", "403"])
def test_large_files_behind_signed_addresses(redirecting_hub, waits, kind):
    """As on the real hub: another host, to which credentials must not go, and whose addresses expire."""
    redirecting_hub.add_model(REPO, {"main": FILES})
    resolved = resolve_revision(REPO, "main", 1, patience=waits.patience)
    if kind:
        redirecting_hub.fault("GET /signed/", kind)
    assert fetch(resolved, waits.patience)["refetched"] == (["model.safetensors"] if kind == "flip" else [])
    assert content(offline_folder(REPO, resolved["commit"], NAMES)) == expected()
    assert [entry.authorized for entry in redirecting_hub.log if "/signed/" in entry.line].count(True) == 0


def test_a_part_that_another_call_cached_is_not_the_whole(hub, waits):
    """Resolving leaves the index in the cache; without a listing the client takes that folder for a snapshot."""
    index = json.dumps({"weight_map": {"a": "model-00001-of-00001.safetensors"}}).encode()
    hub.add_model(REPO, {"main": {"config.json": b"{}", "model.safetensors.index.json": index, "model-00001-of-00001.safetensors": b"w"}})
    resolved = resolve_revision(REPO, "main", 1, patience=waits.patience)
    hub.stop()
    with pytest.raises(InputError, match=r"no usable answer after 4 attempts \(BrokenAnswer: .* did not arrive\)"):
        fetch(resolved, waits.patience)


def test_a_hub_that_lists_other_files_than_it_did(hub, resolved, waits):
    fetch(resolved, waits.patience)
    listed = hub.repos["models", REPO]["commits"][resolved["commit"]]
    listed["model.safetensors"] = File("model.safetensors", WEIGHTS[::-1])
    with pytest.raises(InputError, match=r"model.safetensors: as it was resolved, but the hub now lists another file"):
        fetch(resolved, waits.patience)
