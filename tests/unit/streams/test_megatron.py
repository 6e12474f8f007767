"""The preshuffled Pile in small: rows by byte range from a hub and from a folder, what they cost, and what may go wrong."""

import os
import struct

import hub_client
import numpy as np
import pytest

from scalebound.errors import InputError
from scalebound.streams import megatron
from scalebound.streams.protocol import Stream, open_stream

REPO, VOCAB = "org/pile-preshuffled", 50000


def index_of(rows, row_tokens, lengths=None, code=8, version=1, offsets=None):
    lengths = np.full(rows, row_tokens) if lengths is None else np.asarray(lengths)
    width = {8: 2, 4: 4}.get(code, 2)
    offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]]) * width if offsets is None else offsets
    head = b"MMIDIDX\0\0" + struct.pack("<QBQQ", version, code, len(lengths), len(lengths) + 1)
    return head + lengths.astype("<i4").tobytes() + np.asarray(offsets).astype("<i8").tobytes() + np.arange(rows + 1).astype("<i8").tobytes()


def files_of(tokens, shard_bytes, index=None):
    """Files in Pythia's layout: the shards are called after the number of the last one."""
    data = tokens.tobytes()
    pieces = [data[k : k + shard_bytes] for k in range(0, len(data), shard_bytes)]
    named = {f"document-{k:05d}-of-{len(pieces) - 1:05d}.bin": piece for k, piece in enumerate(pieces)}
    return {**named, "document.idx": index or index_of(*tokens.shape), "README.md": b"words"}


def make_tokens(rows=500, row_tokens=33, seed=1):
    return np.random.default_rng(seed).integers(0, VOCAB, (rows, row_tokens)).astype("<u2")


@pytest.fixture
def tokens():
    return make_tokens()


def opened(hub, waits, tokens, shard_bytes=9001, vocab=VOCAB):
    hub.add_dataset(REPO, {"main": files_of(tokens, shard_bytes)})
    resolved = megatron.resolve_dataset(REPO, "main", waits.patience)
    hub.clear()
    return megatron.open_stream(resolved, vocab, True, waits.patience)


def test_what_a_data_set_is(hub, waits, tokens):
    commits = hub.add_dataset(REPO, {"main": files_of(tokens, 9001)})
    found = megatron.resolve_dataset(REPO, "main", waits.patience)
    assert (found["commit"], found["rows"], found["row_tokens"], found["token_type"]) == (commits["main"], 500, 33, "<u2")
    assert [shard["path"] for shard in found["shards"]] == [f"document-0000{k}-of-00003.bin" for k in range(4)]
    assert [shard["size"] for shard in found["shards"]] == [9001, 9001, 9001, 33000 - 3 * 9001]
    assert len(found["index"]["sha256"]) == 64
    # refs, listing, where the index is, three ranges of it
    assert (hub.count("/refs"), hub.count("/tree/"), hub.count("HEAD"), hub.count("GET .*resolve")) == (1, 1, 1, 3)
    stream = megatron.open_stream(found, VOCAB, unbiased=True)
    assert isinstance(stream, Stream)
    assert (stream.rows, stream.row_tokens, stream.vocab_size, stream.unbiased) == (500, 33, VOCAB, True)


@pytest.mark.parametrize("shard_bytes", [33000, 9001, 66 * 100, 7])
def test_rows_across_every_kind_of_edge(hub, waits, shard_bytes):
    tokens = make_tokens(rows=12) if shard_bytes == 7 else make_tokens()
    stream = opened(hub, waits, tokens, shard_bytes)
    ids = np.random.default_rng(2).integers(0, len(tokens), 60)
    found = stream.read(ids)
    assert found.dtype == np.uint16
    assert (found == tokens[ids]).all()
    assert (stream.read(np.arange(len(tokens))) == tokens).all()


def test_a_folder_gives_the_same_rows(tmp_path, tokens):
    for name, data in files_of(tokens, 9001).items():
        (tmp_path / name).write_bytes(data)
    stream = open_stream("megatron", resolved=megatron.resolve_folder(tmp_path), vocab_size=VOCAB, unbiased=False)
    assert stream.unbiased is False
    ids = [499, 0, 136, 136, 137]
    assert (stream.read(ids) == tokens[ids]).all()
    (tmp_path / "document-00001-of-00003.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"00001-of-00003.bin is 0 bytes, the first shard 9001"):
        megatron.resolve_folder(tmp_path)


def test_traffic_of_random_rows(redirecting_hub, waits):
    """The share that 10,000 rows have of the Pile's 146 million makes neighbours rare: 1 row, 1 request, 4,098 bytes."""
    tokens = make_tokens(rows=4000, row_tokens=2049)
    stream = opened(redirecting_hub, waits, tokens, shard_bytes=7_000_001)
    ids = np.random.default_rng(3).integers(0, 4000, 400)
    assert (stream.read(ids) == tokens[ids]).all()
    needed = len(np.unique(ids)) * 4098
    assert needed <= redirecting_hub.body_bytes("document") + redirecting_hub.body_bytes("/signed/") <= 1.0001 * needed
    assert redirecting_hub.all_bytes("document|/signed/") <= 1.1 * needed
    shards, runs = 3, len(megatron.consecutive_runs(np.unique(ids), 256))
    assert redirecting_hub.count("HEAD") == shards
    assert redirecting_hub.count("GET .*resolve") == 0
    edges = sum(1 for edge in (7_000_001, 14_000_002) if edge // 4098 in set(ids.tolist()))
    assert redirecting_hub.count("/signed/") == runs + edges
    assert all(entry.range.count("-") == 1 for entry in redirecting_hub.log if "/signed/" in entry.line)


def test_credentials_stay_with_the_hub(redirecting_hub, waits, tokens):
    opened(redirecting_hub, waits, tokens).read([1, 2])
    assert all(entry.authorized == ("/signed/" not in entry.line) for entry in redirecting_hub.log)


def test_signed_addresses_that_expire_are_asked_for_again(redirecting_hub, waits, tokens):
    stream = opened(redirecting_hub, waits, tokens, shard_bytes=33000)
    stream.read([5])
    redirecting_hub.expire()
    assert (stream.read([6, 8]) == tokens[[6, 8]]).all()
    assert redirecting_hub.count("HEAD") == 2


def test_a_storage_that_refuses_located_addresses_is_reached_through_the_hub(redirecting_hub, waits, tokens):
    stream = opened(redirecting_hub, waits, tokens, shard_bytes=33000)
    redirecting_hub.fault("GET /signed/", "403")
    assert (stream.read([6]) == tokens[[6]]).all()
    assert redirecting_hub.count("GET .*resolve") == 1


def test_side_by_side_rows_are_one_request(hub, waits, tokens):
    stream = opened(hub, waits, tokens, shard_bytes=33000)
    stream.read([7, 3, 4, 4, 5])
    assert sorted(entry.range for entry in hub.log if entry.range) == ["bytes=198-395", "bytes=462-527"]


def test_connections_are_bounded(hub, waits):
    tokens = make_tokens(rows=600)
    stream = opened(hub, waits, tokens, shard_bytes=66 * 600)
    ids = np.arange(0, 600, 2)
    hub.fault("GET .*bin", "slow", times=None)
    assert (stream.read(ids) == tokens[ids]).all()
    assert 1 < hub.peak <= megatron.CONNECTIONS


@pytest.mark.parametrize("kind", ["503", "429", "reset", "cut", "plain"])
@pytest.mark.parametrize("endpoint", ["HEAD .*bin", "GET .*bin"])
def test_faults_while_reading(hub, waits, tokens, endpoint, kind):
    stream = opened(hub, waits, tokens)
    hub.fault(endpoint, kind, times=2, retry_after=5 if kind == "429" else None)
    ids = [3, 136, 300, 499]
    assert (stream.read(ids) == tokens[ids]).all()
    if kind == "429":
        assert set(waits) == {5}
    elif (endpoint, kind) not in {("HEAD .*bin", "cut"), ("HEAD .*bin", "plain")}:
        assert waits


@pytest.mark.parametrize("kind", ["503", "429", "reset", "cut"])
@pytest.mark.parametrize("endpoint", ["/refs", "/tree/", "HEAD .*idx", "GET .*idx"])
def test_faults_while_resolving(hub, waits, tokens, endpoint, kind):
    hub.add_dataset(REPO, {"main": files_of(tokens, 9001)})
    hub.fault(endpoint, kind, times=2)
    assert megatron.resolve_dataset(REPO, "main", waits.patience)["rows"] == 500


def test_a_fault_that_stays_is_one_message(hub, waits, tokens):
    stream = opened(hub, waits, tokens)
    hub.fault("GET .*00001-of", "503", times=None)
    with pytest.raises(InputError, match=r"00001-of-00003.bin: no usable answer after 4 attempts \(HTTP 503.*already fetched is kept"):
        stream.read([0, 200])


def test_an_interrupted_read_goes_on(hub, waits, tokens, tmp_path):
    stream = opened(hub, waits, tokens, shard_bytes=33000)
    side, ids = tmp_path / "windows.parquet.rows", np.random.default_rng(4).permutation(500)[:100]
    hub.fault("GET .*bin", "404", first=40, times=None)
    with pytest.raises(InputError, match=r"HTTP 404"):
        stream.read(ids, resume=side)
    assert side.is_file()
    hub.clear()
    assert (stream.read(ids, resume=side) == tokens[ids]).all()
    assert not side.exists()
    assert 0 < hub.body_bytes("bin") < 0.8 * 100 * 66


def test_side_files_of_other_reads_and_damaged_ones_are_not_used(hub, waits, tokens, tmp_path):
    stream, side = opened(hub, waits, tokens, shard_bytes=33000), tmp_path / "side"

    def interrupted(ids, damage=lambda data: data):
        hub.fault("GET .*bin", "404", first=len(ids), times=None)
        with pytest.raises(InputError):
            stream.read(ids, resume=side)
        hub.clear()
        side.write_bytes(damage(side.read_bytes()))

    ids = list(range(0, 40, 2))
    interrupted(ids, lambda data: data[:-5])
    assert (stream.read(ids, resume=side) == tokens[ids]).all()
    interrupted(ids, lambda data: data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])
    assert (stream.read(ids, resume=side) == tokens[ids]).all()
    interrupted(ids)
    others = list(range(1, 41, 2))
    assert (stream.read(others, resume=side) == tokens[others]).all()


KILLED = """
import json, sys
from scalebound.streams.megatron import open_stream
resolved, ids, side = map(json.loads, sys.argv[1:])
open_stream(resolved, 50000, True).read(ids, resume=side)
"""


def test_kill_while_reading_then_again(hub, waits, home, tokens, tmp_path):
    hub.add_dataset(REPO, {"main": files_of(tokens, 33000)})
    resolved, side, ids = megatron.resolve_dataset(REPO, "main", waits.patience), tmp_path / "side", list(range(0, 400, 2))
    hub.clear()
    hub.fault("GET .*bin", "stall", first=150, times=None)
    process = hub_client.start(KILLED, hub, home, resolved, ids, str(side))
    assert hub.stalled.wait(60)
    process.kill()
    process.communicate()
    hub.clear()
    assert (megatron.open_stream(resolved, VOCAB, True, waits.patience).read(ids, resume=side) == tokens[ids]).all()
    assert hub.count("GET .*bin") <= 70


def test_ids_and_tokens_out_of_range(hub, waits, tokens):
    stream = opened(hub, waits, tokens, vocab=int(tokens.max()))
    with pytest.raises(InputError, match=r"row 500 of 500 rows"):
        stream.read([0, 500])
    with pytest.raises(InputError, match=r"row -1 of 500 rows"):
        stream.read([-1])
    with pytest.raises(InputError, match=r"row ids of shape"):
        stream.read([0.5])
    assert hub.count() == 0
    with pytest.raises(InputError, match=rf"token id {tokens.max()}, vocabulary size {tokens.max()}"):
        stream.read(np.arange(500))


def damaged(name):
    tokens = make_tokens(rows=40, row_tokens=9)
    files, index = files_of(tokens, 301), index_of(40, 9)
    shard = "document-00001-of-00002.bin"
    changes = {
        "no magic": {"document.idx": b"X" + index[1:]},
        "version 2": {"document.idx": index_of(40, 9, version=2)},
        "float": {"document.idx": index_of(40, 9, code=6)},
        "cut index": {"document.idx": index[:-1]},
        "empty index": {"document.idx": b""},
        "unequal": {"document.idx": index_of(40, 9, lengths=[9] * 38 + [8, 10])},
        "shuffled": {"document.idx": index_of(40, 9, offsets=np.arange(40)[::-1] * 18)},
        "more rows": {"document.idx": index_of(41, 9)},
        "short shard": {shard: files[shard][:-1]},
        "long last shard": {"document-00002-of-00002.bin": bytes(400)},
        "second index": {"other.idx": index},
    }
    gone = {"no index": "document.idx", "missing shard": shard, "missing last": "document-00002-of-00002.bin"}
    files = {**files, **changes.get(name, {})}
    return {path: data for path, data in files.items() if path != gone.get(name)}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no magic", "begins with"),
        ("version 2", "version 2"),
        ("float", "token type code 6"),
        ("cut index", "bytes do not hold 40 sequences"),
        ("empty index", "0 bytes, no index"),
        ("unequal", r"unequal lengths \(8, 9, 10"),
        ("shuffled", "do not lie one behind the other"),
        ("more rows", "shards of 720 bytes, the index's rows take 738"),
        ("short shard", "00001-of-00002.bin is 300 bytes, the first shard 301"),
        ("long last shard", "00002-of-00002.bin is 400 bytes"),
        ("second index", "2 index files"),
        ("no index", "0 index files"),
        ("missing shard", "not complete"),
        ("missing last", "shards of 602 bytes, the index's rows take 720"),
    ],
)
def test_data_sets_that_are_not_whole(hub, waits, tmp_path, name, message):
    files = damaged(name)
    hub.add_dataset(REPO, {"main": files})
    with pytest.raises(InputError, match=message):
        megatron.resolve_dataset(REPO, "main", waits.patience)
    for path, data in files.items():
        (tmp_path / path).write_bytes(data)
    with pytest.raises(InputError, match=message):
        megatron.resolve_folder(tmp_path)


def test_a_shard_that_changed_behind_the_commit(hub, waits, tokens):
    hub.add_dataset(REPO, {"main": files_of(tokens, 33000)})
    resolved = megatron.resolve_dataset(REPO, "main", waits.patience)
    resolved["shards"][0]["sha256"] = "0" * 64
    with pytest.raises(InputError, match=r"the listing says 0000"):
        megatron.open_stream(resolved, VOCAB, True, waits.patience).read([1])


def test_int32_tokens(hub, waits):
    tokens = np.random.default_rng(5).integers(0, 100_000, (50, 17)).astype("<i4")
    hub.add_dataset(REPO, {"main": files_of(tokens, 1111, index=index_of(50, 17, code=4))})
    stream = megatron.open_stream(megatron.resolve_dataset(REPO, "main", waits.patience), 100_000, True, waits.patience)
    found = stream.read([49, 0, 16])
    assert found.dtype == np.int32
    assert (found == tokens[[49, 0, 16]]).all()


def test_missing_revision_and_offline(hub, waits, tokens, home):
    hub.add_dataset(REPO, {"main": files_of(tokens, 9001)})
    with pytest.raises(InputError, match=r"no such revision among 1 branches and tags. Near ones: main"):
        megatron.resolve_dataset(REPO, "mein", waits.patience)
    status, _, error = hub_client.run(KILLED, hub, home, megatron.resolve_dataset(REPO, "main"), [1], None, HF_HUB_OFFLINE="1")
    assert status == 1
    assert "HF_HUB_OFFLINE is set" in error


def test_the_whole_way_by_environment_alone(hub, home, waits, tokens, tmp_path):
    """No constant of the client is changed in the other process: HF_ENDPOINT and HF_HOME suffice."""
    hub.add_dataset(REPO, {"main": files_of(tokens, 9001)})
    resolved = megatron.resolve_dataset(REPO, "main", waits.patience)
    status, _, error = hub_client.run(KILLED, hub, home, resolved, [3, 4, 400], os.fspath(tmp_path / "side"))
    assert status == 0, error
    assert not (tmp_path / "side").exists()


def test_a_disk_that_fills_while_reading(hub, waits, home, tokens, small_disk):
    hub.add_dataset(REPO, {"main": files_of(tokens, 33000)})
    resolved, ids = megatron.resolve_dataset(REPO, "main", waits.patience), list(range(0, 500, 2))
    place = small_disk(kilobytes=8)
    status, _, error = hub_client.run(KILLED, hub, home, resolved, ids, str(place / "side"))
    assert status == 1
    assert "OSError: [Errno 28] No space left on device" in error
    hub_client.enlarge_tmpfs(place, kilobytes=1024)
    hub.clear()
    assert (megatron.open_stream(resolved, VOCAB, True, waits.patience).read(ids, resume=place / "side") == tokens[ids]).all()
    assert 0 < hub.count("GET .*bin") < 250


@pytest.mark.parametrize("name", ["document.bin", "document-00000-of-00001.bin", "document-00000-of-00000.bin"])
def test_names_of_a_single_shard(tmp_path, tokens, name):
    (tmp_path / name).write_bytes(tokens.tobytes())
    (tmp_path / "document.idx").write_bytes(index_of(*tokens.shape))
    resolved = megatron.resolve_folder(tmp_path)
    assert (megatron.open_stream(resolved, VOCAB, True).read([1, 499]) == tokens[[1, 499]]).all()
    # a folder that changes after it was resolved
    (tmp_path / name).write_bytes(tokens.tobytes()[:-2])
    with pytest.raises(InputError, match=r"32998 bytes instead of 33000"):
        megatron.open_stream(resolved, VOCAB, True)
