"""What every crate of ours has to be, in place or in an archive.

The checks of the profile are its MUSTs, written out from the text of Provenance Run Crate 0.5: the public validator needs
the network and other versions of packages than the workflow is locked to. Each takes {identifier: entity} and the main workflow.
"""

CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
RUN = "#run"


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


def root_and_descriptor(graph, main):
    descriptor, root = graph["ro-crate-metadata.json"], graph["./"]
    assert ids(descriptor, "about") == ["./"]
    assert "https://w3id.org/ro/crate/1.1" in ids(descriptor, "conformsTo")
    profiles = [f"https://w3id.org/ro/wfrun/{name}/0.5" for name in ("process", "workflow", "provenance")]
    assert set(ids(root, "conformsTo")) == {*profiles, "https://w3id.org/workflowhub/workflow-ro-crate/1.0"}
    assert all(graph[identifier]["@type"] == "CreativeWork" for identifier in ids(root, "conformsTo"))
    assert all(root[key] for key in ("name", "description", "datePublished", "license"))
    assert ids(root, "mainEntity") == [main]


def workflow_and_steps(graph, main):
    workflow = graph[main]
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


def control_and_engine(graph, main):
    controls, (engine,) = of_type(graph, "ControlAction"), of_type(graph, "OrganizeAction")
    assert sorted(identifier for control in controls for identifier in ids(control, "object")) == sorted(action["@id"] for action in jobs(graph))
    for control in controls:
        step, action = graph[ids(control, "instrument")[0]], graph[ids(control, "object")[0]]
        assert step["@type"] == "HowToStep"
        assert set(ids(action, "instrument")) <= set(ids(step, "workExample"))
    assert set(ids(engine, "object")) == {control["@id"] for control in controls}
    assert ids(engine, "result") == [RUN]
    assert graph[ids(engine, "instrument")[0]]["@type"] == "SoftwareApplication"


def slots_and_usage(graph, main):
    slots = {slot["@id"]: slot for slot in of_type(graph, "FormalParameter")}
    owners = [graph[main], *(graph[tool] for tool in ids(graph[main], "hasPart"))]
    assert {identifier for owner in owners for identifier in ids(owner, "input")} == set(slots)
    kinds = {"Boolean": bool, "Integer": int, "Float": float, "Text": str}
    for entity in of_type(graph, "PropertyValue"):
        for identifier in ids(entity, "exampleOfWork"):
            assert type(entity["value"]) is kinds[slots[identifier]["additionalType"]]
    usage = {identifier for action in jobs(graph) for identifier in ids(action, "resourceUsage")}
    assert all(graph[identifier]["propertyID"] and graph[identifier]["unitCode"] for identifier in usage)


def references_resolved(graph, main):
    outside = ("https://w3id.org/", "https://doi.org/", "https://snakemake.readthedocs.io")
    for entity in graph.values():
        assert entity["@type"]
        for values in entity.values():
            for value in listed(values):
                if isinstance(value, dict):
                    assert set(value) == {"@id"}
                    assert value["@id"] in graph or value["@id"].startswith(outside), (entity["@id"], value)


def inputs_before_readers(graph, main):
    maker = {identifier: action for action in jobs(graph) for identifier in ids(action, "result")}
    for action in jobs(graph):
        for identifier in set(ids(action, "object")) & set(maker):
            # starts are recorded to the second
            assert maker[identifier]["startTime"] <= action["startTime"], (action["@id"], identifier)


CHECKS = (root_and_descriptor, workflow_and_steps, control_and_engine, slots_and_usage, references_resolved, inputs_before_readers)
