"""From revisions to identities, and the branches that carry the weights of another step."""

import json

import pytest
from hub_server import git_blob_id

from scalebound.errors import InputError
from scalebound.hub.revisions import resolve_revision

REPO = "org/tiny"


def branch(weights, **more):
    return {"config.json": b"{}", "tokenizer.json": b"{1}", "README.md": b"hello", "model.safetensors": weights, **more}


def steps(*numbers, **more):
    return {f"step{number}": branch(b"weights %d" % number) for number in numbers} | {"main": branch(b"weights 4000")} | more


def resolve(revision, step, waits, repo=REPO, **more):
    return resolve_revision(repo, revision, step, patience=waits.patience, **more)


def test_identity_of_a_revision(hub, waits):
    commits = hub.add_model(REPO, steps(0, 1000, 2000, 3000, 4000))
    found = resolve("step2000", 2000, waits)
    assert found["commit"] == commits["step2000"]
    assert (found["format"], found["weights"], found["notice"]) == ("safetensors", ["model.safetensors"], None)
    assert [file["path"] for file in found["files"]] == ["config.json", "model.safetensors", "tokenizer.json"]
    assert found["files"][0] == {"path": "config.json", "size": 2, "git_blob": git_blob_id(b"{}")}
    assert found["files"][1]["size"] == 12
    assert len(found["files"][1]["sha256"]) == 64
    assert [(other["revision"], other["step"]) for other in found["compared_with"]] == [("main", None), ("step1000", 1000), ("step3000", 3000)]
    # one call for all branches, one listing for each revision that is looked at
    assert (hub.count("/refs"), hub.count("/tree/"), hub.count("org/tiny")) == (1, 4, 5)
    assert waits == []


def test_final_weights_under_the_name_of_an_early_step(hub, waits):
    hub.add_model(REPO, steps(1000, 2000, 3000, 4000) | {"step2000": branch(b"weights 4000")})
    with pytest.raises(InputError, match=r"org/tiny at step2000: 1 weight file.*are also those of main: sha256:.*step2000 and main is a wrong upload"):
        resolve("step2000", 2000, waits)


def test_weights_of_a_neighbouring_step(hub, waits):
    hub.add_model(REPO, steps(1000, 2000, 3000, 4000) | {"step2000": branch(b"weights 3000")})
    with pytest.raises(InputError, match=r"step2000.*also those of step3000 \(step 3000\)"):
        resolve("step2000", 2000, waits)


def test_weights_of_a_witness(hub, waits):
    hub.add_model(REPO, steps(1000, 2000, 3000, 4000) | {"step1000": branch(b"weights 3000")})
    assert resolve("step1000", 1000, waits)["step"] == 1000
    with pytest.raises(InputError, match=r"also those of step3000"):
        resolve("step1000", 1000, waits, witnesses=["step3000"])


def test_one_shared_shard_is_enough(hub, waits):
    index = json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}).encode()

    def sharded(first, second):
        shards = {"model-00001-of-00002.safetensors": first, "model-00002-of-00002.safetensors": second}
        return {"config.json": b"{}", "model.safetensors.index.json": index, **shards}

    hub.add_model(REPO, {"step1": sharded(b"1", b"2"), "step2": sharded(b"3", b"2"), "main": sharded(b"5", b"6")})
    with pytest.raises(InputError, match=r"step1.*also those of step2"):
        resolve("step1", 1, waits)
    known = resolve("step1", 1, waits, known_equal=[("step2", "step1")])
    assert known["weights"] == ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert "model.safetensors.index.json" in [file["path"] for file in known["files"]]


def test_pairs_that_pythia_is_known_for(hub, waits):
    branches = {"step0": branch(b"0"), "step1": branch(b"0"), "step2": branch(b"2"), "step143000": branch(b"end"), "main": branch(b"end")}
    for repo in ("EleutherAI/pythia-70m", "other/pythia-70m"):
        hub.add_model(repo, branches)
    assert resolve("step1", 1, waits, repo="EleutherAI/pythia-70m")["step"] == 1
    assert resolve("step143000", 143000, waits, repo="EleutherAI/pythia-70m")["step"] == 143000
    with pytest.raises(InputError, match=r"step0"):
        resolve("step1", 1, waits, repo="other/pythia-70m")


def test_main_alone_and_main_by_commit(hub, waits):
    commits = hub.add_model("cerebras/tiny", {"main": branch(b"end")})
    found = resolve("main", 900, waits, repo="cerebras/tiny")
    assert (found["compared_with"], found["commit"]) == ([], commits["main"])
    assert "nothing shows that this one is of its step" in found["notice"]
    assert resolve(commits["main"], 900, waits, repo="cerebras/tiny")["commit"] == commits["main"]


def test_a_step_that_contradicts_the_name(hub, waits):
    with pytest.raises(InputError, match=r"the name states step 2000, the table step 3000"):
        resolve("step2000", 3000, waits)
    assert hub.count() == 0


def test_missing_revision_names_near_ones(hub, waits):
    hub.add_model(REPO, steps(0, 1000, 2000, 3000, 4000))
    with pytest.raises(InputError, match=r"step1400: no such revision among 6 branches and tags. Near ones: step1000, step2000, step0, step3000"):
        resolve("step1400", 1400, waits)
    with pytest.raises(InputError, match=r"Near ones: main"):
        resolve("mian", 4000, waits)
    with pytest.raises(InputError, match=r"no such witness revision 'step1700'. Near ones: step2000"):
        resolve("step1000", 1000, waits, witnesses=["step1700"])
    assert waits == []


def test_missing_repository(hub, waits):
    with pytest.raises(InputError, match=r"org/none: no such repository, or it is private"):
        resolve("main", 1, waits, repo="org/none")
    assert waits == []


def test_bin_only_where_nothing_else_is_there(hub, waits):
    old = {"config.json": b"{}", "pytorch_model.bin": b"old", "training_args.bin": b"args"}
    hub.add_model(REPO, {"step1": old, "step2": {**old, "pytorch_model.bin": b"other"}, "main": branch(b"new")})
    found = resolve("step1", 1, waits)
    assert (found["format"], found["weights"]) == ("bin", ["pytorch_model.bin"])
    assert "weights_only" in found["notice"]
    assert "nothing shows" not in found["notice"]
    # `main` has safetensors only: nothing can be said about it, and that is said
    assert {other["revision"]: other["comparable"] for other in found["compared_with"]} == {"main": False, "step2": True}
    hub.add_model("org/mixed", {"step1": old, "main": branch(b"new")})
    assert "nothing shows" in resolve("step1", 1, waits, repo="org/mixed")["notice"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"model.safetensors": b"1"}, "no config.json"),
        ({"config.json": b"{}", "tf_model.h5": b"1"}, "neither safetensors nor pytorch_model.bin"),
        ({"config.json": b"{}", "model.safetensors.index.json": b"[]"}, "not an index of weight files"),
        ({"config.json": b"{}", "model.safetensors.index.json": b'{"weight_map": {"a": "evil.pkl"}}'}, "names evil.pkl"),
        ({"config.json": b"{}", "model.safetensors.index.json": b'{"weight_map": {"a": "../x.safetensors"}}'}, r"names \.\./x"),
        ({"config.json": b"{}", "model.safetensors.index.json": b'{"weight_map": {"a": "m-1.safetensors"}}'}, "m-1.safetensors is not beside it"),
    ],
)
def test_unusable_repositories(hub, waits, files, message):
    hub.add_model(REPO, {"main": files})
    with pytest.raises(InputError, match=message):
        resolve("main", 1, waits)


@pytest.mark.parametrize("kind", ["503", "429", "reset", "cut"])
@pytest.mark.parametrize("endpoint", ["/refs", "/tree/", "HEAD .*index.json", "GET .*index.json"])
def test_each_endpoint_recovers(hub, waits, endpoint, kind):
    index = json.dumps({"weight_map": {"a": "model-00001-of-00001.safetensors"}}).encode()
    hub.add_model(REPO, {"main": {"config.json": b"{}", "model.safetensors.index.json": index, "model-00001-of-00001.safetensors": b"w"}})
    hub.fault(endpoint, kind, times=2, retry_after=3 if kind == "429" else None)
    assert resolve("main", 1, waits)["weights"] == ["model-00001-of-00001.safetensors"]
    if endpoint == "/refs":
        assert waits == [3, 3] if kind == "429" else [1, 2]


def test_a_flipped_byte_in_the_index_is_noticed(hub, waits):
    index = json.dumps({"weight_map": {"a": "model-00001-of-00001.safetensors"}}).encode()
    hub.add_model(REPO, {"main": {"config.json": b"{}", "model.safetensors.index.json": index, "model-00001-of-00001.safetensors": b"w"}})
    hub.fault("GET .*index.json", "flip")
    assert resolve("main", 1, waits)["weights"] == ["model-00001-of-00001.safetensors"]
    assert len(waits) == 1
    assert "git_blob" in waits.lines[0]


def test_a_hub_that_stays_away_is_one_message(hub, waits):
    hub.add_model(REPO, {"main": branch(b"w")})
    hub.fault("/refs", "503", times=None)
    with pytest.raises(InputError, match=r"org/tiny: no usable answer after 4 attempts \(HTTP 503 on GET /api/models/org/tiny/refs\)"):
        resolve("main", 1, waits)
    hub.stop()
    with pytest.raises(InputError, match=r"ConnectError"):
        resolve("main", 1, waits)
