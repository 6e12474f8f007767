"""The RO-Crate of the smoke preset: whole, true to the files, the same each time, and refused when a record is missing.

The checks of the profile are its MUSTs, written out from the text of Provenance Run Crate 0.5: the public validator needs
the network and other versions of packages than the workflow is locked to.
"""

import hashlib
import json
import warnings

import pytest
from rocrate.rocrate import ROCrate

METADATA = "results/ro-crate-metadata.json"
WORKFLOW = "crate/workflow/Snakefile"
RUN = "#run"


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


def listed(value):
    return value if isinstance(value, list) else [value]


def ids(entity, key):
    return [value["@id"] for value in listed(entity.get(key, []))]


def of_type(graph, name):
    return [entity for entity in graph.values() if name in listed(entity["@type"])]


def jobs(graph):
    return [action for action in of_type(graph, "CreateAction") if action["@id"] != RUN]


def parameters(graph, action):
    """{name: value} of the PropertyValues that an action used."""
    found = [graph[identifier] for identifier in ids(action, "object")]
    return {entity["name"]: entity["value"] for entity in found if entity["@type"] == "PropertyValue"}


def test_it_reads_back(crated):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        crate = ROCrate(crated.path("results"))
    assert crate.mainEntity.id == WORKFLOW
    assert crate.mainEntity["programmingLanguage"]["name"] == "Snakemake"
    assert crate.root_dataset["license"].id == "https://spdx.org/licenses/MIT"
    assert "smoke" in crate.name
    assert "estimate" in crate.description


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


def test_inputs_are_made_before_they_are_read(graph):
    maker = {identifier: action for action in jobs(graph) for identifier in ids(action, "result")}
    for action in jobs(graph):
        for identifier in set(ids(action, "object")) & set(maker):
            # starts are recorded to the second
            assert maker[identifier]["startTime"] <= action["startTime"], (action["@id"], identifier)


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


def test_profile_root_and_descriptor(crated, graph):
    context = json.loads(crated.path(METADATA).read_text())["@context"]
    assert context == ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
    descriptor, root = graph["ro-crate-metadata.json"], graph["./"]
    assert ids(descriptor, "about") == ["./"]
    assert "https://w3id.org/ro/crate/1.1" in ids(descriptor, "conformsTo")
    profiles = [f"https://w3id.org/ro/wfrun/{name}/0.5" for name in ("process", "workflow", "provenance")]
    assert set(ids(root, "conformsTo")) == {*profiles, "https://w3id.org/workflowhub/workflow-ro-crate/1.0"}
    assert all(graph[identifier]["@type"] == "CreativeWork" for identifier in ids(root, "conformsTo"))
    assert all(root[key] for key in ("name", "description", "datePublished", "license"))
    assert ids(root, "mainEntity") == [WORKFLOW]


def test_profile_workflow_and_steps(graph):
    workflow = graph[WORKFLOW]
    assert {"File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"} == set(workflow["@type"])
    tools, used = set(ids(workflow, "hasPart")), {ids(action, "instrument")[0] for action in jobs(graph)}
    assert tools == used
    assert all(graph[tool]["@type"] == "SoftwareApplication" for tool in tools)
    assert {tool for step in of_type(graph, "HowToStep") for tool in ids(step, "workExample")} == tools
    assert {step["@id"] for step in of_type(graph, "HowToStep")} == set(ids(workflow, "step"))
    place = {tool: step["position"] for step in of_type(graph, "HowToStep") for tool in ids(step, "workExample")}
    # figures are one step with a tool for each
    assert sorted(set(place.values())) == list(range(1, len(of_type(graph, "HowToStep")) + 1))
    maker, before = {identifier: action for action in jobs(graph) for identifier in ids(action, "result")}, {tool: set() for tool in tools}
    for action in jobs(graph):
        tool = ids(action, "instrument")[0]
        before[tool] |= {ids(maker[identifier], "instrument")[0] for identifier in set(ids(action, "object")) & set(maker)} - {tool}
    late = {(graph[other]["name"], graph[tool]["name"]) for tool in tools for other in before[tool] if place[other] > place[tool]}
    # the one circle: scores beside references give a code its price, and decoded models are scored beside references
    assert late == {("scalebound score-references", "scalebound price")}


def test_profile_control_and_engine(graph):
    controls, (engine,) = of_type(graph, "ControlAction"), of_type(graph, "OrganizeAction")
    assert sorted(identifier for control in controls for identifier in ids(control, "object")) == sorted(action["@id"] for action in jobs(graph))
    for control in controls:
        step, action = graph[ids(control, "instrument")[0]], graph[ids(control, "object")[0]]
        assert step["@type"] == "HowToStep"
        assert set(ids(action, "instrument")) <= set(ids(step, "workExample"))
    assert set(ids(engine, "object")) == {control["@id"] for control in controls}
    assert ids(engine, "result") == [RUN]
    assert graph[ids(engine, "instrument")[0]]["@type"] == "SoftwareApplication"


def test_profile_parameters(graph):
    slots = {slot["@id"]: slot for slot in of_type(graph, "FormalParameter")}
    owners = [graph[WORKFLOW], *(graph[tool] for tool in ids(graph[WORKFLOW], "hasPart"))]
    assert {identifier for owner in owners for identifier in ids(owner, "input")} == set(slots)
    kinds = {"Boolean": bool, "Integer": int, "Float": float, "Text": str}
    for entity in of_type(graph, "PropertyValue"):
        for identifier in ids(entity, "exampleOfWork"):
            assert type(entity["value"]) is kinds[slots[identifier]["additionalType"]]
    usage = {identifier for action in jobs(graph) for identifier in ids(action, "resourceUsage")}
    assert all(graph[identifier]["propertyID"] and graph[identifier]["unitCode"] for identifier in usage)


def test_every_reference_is_resolved(graph):
    outside = ("https://w3id.org/", "https://doi.org/", "https://snakemake.readthedocs.io")
    for entity in graph.values():
        assert entity["@type"]
        for values in entity.values():
            for value in listed(values):
                if isinstance(value, dict):
                    assert set(value) == {"@id"}
                    assert value["@id"] in graph or value["@id"].startswith(outside), (entity["@id"], value)


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
