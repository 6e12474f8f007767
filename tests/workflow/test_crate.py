"""The RO-Crate of the smoke preset: whole, true to the files, the same each time, and refused when a record is missing."""

import hashlib
import json
import warnings

import pytest
from crate_profile import CHECKS, CONTEXT, RUN, ids, jobs, of_type, parameters
from rocrate.rocrate import ROCrate

METADATA = "results/ro-crate-metadata.json"
WORKFLOW = "crate/workflow/Snakefile"


@pytest.fixture(scope="module")
def crated(finished, tmp_path_factory):
    """A workspace with its crate; tests only read it."""
    made = finished.copy(tmp_path_factory.mktemp("crate") / "workspace")
    done = made.snakemake("crate")
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.fixture(scope="module")
def graph(crated):
    """{identifier: entity} of the crate."""
    entities = json.loads(crated.path(METADATA).read_text())["@graph"]
    made = {entity["@id"]: entity for entity in entities}
    assert len(made) == len(entities)
    return made


@pytest.fixture(scope="module")
def records(crated):
    """{path in the results: record} of every job."""
    results = crated.path("results")
    return {path.relative_to(results).as_posix(): json.loads(path.read_text()) for path in sorted(results.rglob("*run.json"))}


def test_it_reads_back(crated):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        crate = ROCrate(crated.path("results"))
    assert crate.mainEntity.id == WORKFLOW
    assert crate.mainEntity["programmingLanguage"]["name"] == "Snakemake"
    assert crate.root_dataset["license"].id == "https://spdx.org/licenses/MIT"
    assert "smoke" in crate.name
    assert "(kind: certificate, estimate)" in crate.description


def test_there_is_an_action_for_each_record_and_one_for_the_run(graph, records):
    assert {action["@id"] for action in jobs(graph)} == {f"#job/{path}" for path in records}
    assert ids(graph[RUN], "instrument") == [WORKFLOW]
    assert set(ids(graph["./"], "mentions")) == {RUN, *(f"#job/{path}" for path in records)}
    finals = {"smoke/bounds.csv", "smoke/certificates.csv", "smoke/config.json", "smoke/figures/terms.png", "smoke/figures/terms.pdf"}
    assert finals <= set(ids(graph[RUN], "result"))


def test_actions_say_what_the_records_say(graph, records):
    for path, record in records.items():
        action = graph[f"#job/{path}"]
        tool = graph[ids(action, "instrument")[0]]
        assert set(ids(action, "result")) == {name.removeprefix("results/") for name in record["outputs"]}
        assert all(graph[name.removeprefix("results/")]["sha256"] == sha256 for name, sha256 in record["outputs"].items())
        assert tool["name"] == f"scalebound {record['stage']}"
        assert action["startTime"].startswith(record["started"][:19])
        assert graph[f"#usage/{path}/wall_s"]["value"] == record["wall_s"]
        assert graph[ids(action, "location")[0]]["name"] == record["host"]
        assert path == "smoke/config.run.json" or all(word in action["description"] for word in record["arguments"] if "{" not in word)
    assert graph["./"]["datePublished"] == max(action["endTime"] for action in jobs(graph))


def test_actions_name_the_inputs_and_the_software_of_the_identities(crated, graph):
    report = json.loads(crated.path("results/smoke/smoke-6k/quantizers/gptq-4/quantize/quantization.json").read_text())["identity"]
    action = graph["#job/smoke/smoke-6k/quantizers/gptq-4/quantize/run.json"]
    files = {identifier: graph[identifier]["sha256"] for identifier in ids(action, "object") if graph[identifier]["@type"] == "File"}
    expected = {entry["path"].removeprefix("results/"): entry["sha256"] for entry in report["inputs"].values()}
    weights = {f"training/smoke-6k/step60/{file['name']}": file["sha256"] for file in report["model_files"]}
    assert files == expected | weights
    tool = graph[ids(action, "instrument")[0]]
    needed = {graph[identifier]["name"]: graph[identifier]["softwareVersion"] for identifier in ids(tool, "softwareRequirements")}
    assert needed == {**report["packages"], "python": report["python"]}
    assert graph[ids(tool, "identifier")[0]]["value"] == report["code"]
    assert ids(tool, "url") == ["crate/workflow/scalebound/commands/quantize.py"]


def test_a_certificate_is_described_by_its_own_identity_and_not_by_that_of_a_copy_beside_it(crated, graph):
    folder = "smoke/smoke-6k/quantizers/coded"
    made = json.loads(crated.path(f"results/{folder}/certificate/certificate.json").read_text())["identity"]
    action = graph[f"#job/{folder}/certificate/run.json"]
    read = {identifier for identifier in ids(action, "object") if graph[identifier]["@type"] == "File"}
    assert read == {entry["path"].removeprefix("results/") for entry in made["inputs"].values()}
    assert parameters(graph, action)["confidence"] == "betting"


def test_every_file_lies_there_as_described(crated, graph):
    described = {entity["@id"]: entity for entity in of_type(graph, "File")}
    assert set(described) == set(ids(graph["./"], "hasPart"))
    for identifier, entity in described.items():
        data = crated.path("results", identifier).read_bytes()
        assert entity["sha256"] == hashlib.sha256(data).hexdigest(), identifier
        assert entity["contentSize"] == str(len(data)), identifier
        assert "/" in entity["encodingFormat"]


def test_nothing_in_the_folder_is_left_out(crated, graph):
    results = crated.path("results")
    there = {path.relative_to(results).as_posix() for path in results.rglob("*") if path.is_file()}
    assert there - {entity["@id"] for entity in of_type(graph, "File")} == {"ro-crate-metadata.json", "crate/crate.log"}


def test_the_copied_workflow_is_the_one_that_ran(crated, graph):
    for identifier in ids(graph["./"], "hasPart"):
        if identifier.startswith("crate/"):
            assert crated.path("results", identifier).read_bytes() == crated.path(identifier.removeprefix("crate/")).read_bytes()
    assert {"crate/Snakefile", "crate/config/smoke.yaml", "crate/envs/requirements.txt", "crate/workflow/rules/jobs.smk"} <= set(graph)
    assert "All ran the code in crate/" in graph["./"]["description"]


def test_the_actions_form_a_closed_chain(graph):
    made = {identifier for action in jobs(graph) for identifier in ids(action, "result")}
    external = set()
    for action in jobs(graph):
        for identifier in ids(action, "object"):
            if graph[identifier]["@type"] == "CreativeWork":
                external.add(identifier)
            else:
                assert graph[identifier]["@type"] == "PropertyValue" or identifier in made, (action["@id"], identifier)
    assert external == {"pkg:pypi/networkx@3.6.1", "#external/config/published_models.tsv", "#external/config/published.tsv"}
    assert external <= set(ids(graph[RUN], "object"))


def test_parameters_carry_the_configured_seeds(graph):
    for draw, seed, windows in (("score", 101, 64), ("calibration", 202, 16)):
        found = parameters(graph, graph[f"#job/smoke/smoke-6k/sample/{draw}/run.json"])
        assert (found["seed"], found["windows"]) == (seed, windows)
        assert parameters(graph, graph[RUN])[f"sampling.{draw}.seed"] == seed
    assert parameters(graph, graph["#job/training/smoke-13k/run.json"])["seed"] == 1
    assert parameters(graph, graph["#job/streams/smoke-sources/documents.run.json"])["document_seed"] == 7
    assert parameters(graph, graph["#job/smoke/smoke-6k/quantizers/rtn-4/quantize/run.json"])["method"] == "rtn"
    whole = parameters(graph, graph[RUN])
    assert (whole["training.smoke-6k.seed"], whole["streams.smoke-sources.document_seed"]) == (1, 7)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_profile(graph, check):
    check(graph, WORKFLOW)


def test_context(crated):
    assert json.loads(crated.path(METADATA).read_text())["@context"] == CONTEXT


def test_the_same_folder_gives_the_same_bytes_wherever_it_lies(crated, tmp_path):
    first = crated.path(METADATA).read_bytes()
    elsewhere = crated.copy(tmp_path / "elsewhere")
    elsewhere.path(METADATA).unlink()
    done = elsewhere.scalebound("crate", "--results", elsewhere.path("results"))
    assert done.returncode == 0, done.stderr
    assert elsewhere.path(METADATA).read_bytes() == first
    assert elsewhere.scalebound("crate").returncode == 0
    assert elsewhere.path(METADATA).read_bytes() == first
    assert str(crated.folder).encode() not in first


def test_what_nothing_follows_from_does_not_matter(crated, tmp_path):
    """An interrupted training run of another configuration lies in the same folder."""
    made = crated.copy(tmp_path / "leftover")
    first = made.path(METADATA).read_bytes()
    leftover = made.path("results/training/other/run.json")
    record = json.loads(made.path("results/training/smoke-6k/run.json").read_text())
    text = json.dumps({key: value for key, value in record.items() if key != "record_sha256"}, sort_keys=True).replace("smoke-6k", "other")
    leftover.parent.mkdir()
    leftover.write_text(json.dumps({**json.loads(text), "record_sha256": hashlib.sha256(text.encode()).hexdigest()}))
    assert made.scalebound("crate").returncode == 0
    assert made.path(METADATA).read_bytes() == first


def test_older_code_is_told(crated, tmp_path):
    made = crated.copy(tmp_path / "older")
    made.append("workflow/scalebound/commands/figures.py", "\n\nEDITED = True\n")
    assert made.scalebound("crate").returncode == 0
    entities = {entity["@id"]: entity for entity in json.loads(made.path(METADATA).read_text())["@graph"]}
    drawn = len(list(made.path("results/smoke/figures").glob("*.png")))
    assert f" {drawn} jobs ran other code than that in crate/" in entities["./"]["description"]
    tools = [entity for entity in entities.values() if entity["@type"] == "SoftwareApplication" and "url" not in entity and entity["@id"].startswith("#tool/")]
    assert {tool["name"] for tool in tools} == {"scalebound figures"}


def delete(path):
    return lambda made: made.path(path).unlink()


def alter(path, old, new):
    return lambda made: made.edit(path, old, new)


def delete_all_records(made):
    for path in made.path("results").rglob("*run.json"):
        path.unlink()


def call_it_certified(made):
    table = made.path("results/smoke/bounds.csv")
    table.write_text(table.read_text().replace("estimate", "certificate"))


SCORES = "results/smoke/smoke-6k/score"
BROKEN = {
    "no records at all": (delete_all_records, ["results: no run record"]),
    "no results folder": (lambda made: made.path("results").rename(made.path("moved")), ["results: no run record"]),
    "no record of an input": (delete(f"{SCORES}/run.json"), [f"{SCORES}/scores.parquet: no run record", "bound/run.json was made from it"]),
    "no record of a figure": (delete("results/smoke/figures/terms.run.json"), ["results/smoke/figures/terms.", "no run record"]),
    "no record of a download": (delete("results/streams/smoke-sources/wheels/run.json"), [".whl: no run record"]),
    "missing file": (delete(f"{SCORES}/scores.parquet"), [f"{SCORES}/scores.parquet: no such file"]),
    "unfinished family": (delete("results/smoke/bounds.csv"), ["results/smoke: no bounds.csv"]),
    "altered file": (call_it_certified, ["results/smoke/bounds.csv: sha256"]),
    "altered record": (alter(f"{SCORES}/run.json", '"stage": "score"', '"stage": "scare"'), [f"{SCORES}/run.json: an altered run record"]),
    "incomplete record": (alter(f"{SCORES}/run.json", '"wall_s"', '"wall"'), [f"{SCORES}/run.json: an incomplete run record", "'wall_s'"]),
    "truncated record": (lambda made: made.path(f"{SCORES}/run.json").write_text("{"), [f"{SCORES}/run.json: not a JSON file"]),
    "moved record": (lambda made: made.path(f"{SCORES}").rename(made.path("results/smoke/elsewhere")), ["results/smoke/elsewhere/run.json: written as"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_results_are_refused(finished_copy, case):
    break_it, fragments = BROKEN[case]
    break_it(finished_copy)
    done = finished_copy.scalebound("crate", "--results", "results", "--out", "results/crate")
    assert done.returncode == 1
    assert all(fragment in done.stderr for fragment in fragments), done.stderr
    assert "Traceback" not in done.stderr
    assert not finished_copy.path(METADATA).exists()


def test_the_copy_must_lie_inside_of_the_crate(finished_copy):
    done = finished_copy.scalebound("crate", "--out", "crate")
    assert done.returncode == 1
    assert "crate: not inside of results" in done.stderr
    assert not finished_copy.path("crate").exists()
