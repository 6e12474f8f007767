"""Streams: made from pinned wheels, drawn from a checkpoint of our own, or found on the hub or in a folder.

results/streams/{stream}/wheels/*.whl            the sources, checked against their sha256
results/streams/{stream}/documents.parquet       manifest: position, split, wheel, path, bytes, sha256
results/streams/{stream}/tokenizer.json          byte-level BPE, trained on the documents set apart for it
results/streams/{stream}/rows/tokens.bin         the rows in training order, uint16, with stream.json beside it
results/streams/{stream}/heldout/windows.parquet  rows of the held-out documents
results/streams/{stream}/resolved.json           a stream that the workflow does not make: commit, files, rows

Every training run reads the first rows of the one order: a larger model to train changes no file that the others depend on.
"""

from scalebound.configuration.streams import is_remote
from scalebound.plan.rule import STREAM, Rule, alternatives, as_json

ROWS, HELDOUT = f"{STREAM}/rows", f"{STREAM}/heldout/windows.parquet"
DOCUMENTS, TOKENIZER = f"{STREAM}/documents.parquet", f"{STREAM}/tokenizer.json"
SPLIT = {"document_seed", "tokenizer_fraction", "heldout_fraction", "suffixes"}


def rules(plan):
    streams, wheels, oracles = plan.config.streams, plan.streams_of_kind("wheels"), plan.streams_of_kind("oracle")
    made = {"stream": alternatives(wheels)}
    return [
        *(_fetch(stream, settings) for stream, settings in wheels.items()),
        Rule(
            "documents",
            "documents",
            inputs={"wheels": lambda w: wheel_files(w.stream, wheels[w.stream])},
            outputs={"out": DOCUMENTS},
            record=f"{STREAM}/documents.run.json",
            settings=lambda w: _dump(streams[w.stream]),
            recorded=lambda w: streams[w.stream].model_dump(include=SPLIT),
            constraints=made,
        ),
        Rule(
            "tokenizer",
            "tokenizer",
            inputs={"documents": DOCUMENTS},
            needs=lambda w: wheel_files(w.stream, wheels[w.stream]),
            outputs={"out": TOKENIZER, "out_identity": f"{STREAM}/tokenizer.identity.json"},
            record=f"{STREAM}/tokenizer.run.json",
            settings=lambda w: _dump(streams[w.stream]),
            recorded=lambda w: streams[w.stream].tokenizer.model_dump(),
            options=lambda w: {"wheels": wheel_folder(w.stream)},
            vouches={"out_identity": ("out",)},
            constraints=made,
        ),
        Rule(
            "tokenize",
            "tokenize",
            inputs={"documents": DOCUMENTS, "tokenizer": TOKENIZER},
            needs=lambda w: wheel_files(w.stream, wheels[w.stream]),
            outputs={"out": f"{ROWS}/tokens.bin", "out_stream": f"{ROWS}/stream.json"},
            record=f"{ROWS}/run.json",
            settings=lambda w: _dump(streams[w.stream]),
            recorded=lambda w: streams[w.stream].model_dump(include={"row_tokens", "row_seed"}),
            options=lambda w: {"wheels": wheel_folder(w.stream)},
            vouches={"out_stream": ("out",)},
            constraints=made,
        ),
        Rule(
            "heldout",
            "heldout",
            inputs={"documents": DOCUMENTS, "tokenizer": TOKENIZER},
            needs=lambda w: wheel_files(w.stream, wheels[w.stream]),
            outputs={"out": HELDOUT},
            record=f"{STREAM}/heldout/run.json",
            settings=lambda w: plan.config.sampling.heldout.model_dump(),
            recorded=lambda w: plan.config.sampling.heldout.model_dump() | {"row_tokens": streams[w.stream].row_tokens},
            options=lambda w: {"wheels": wheel_folder(w.stream)} | _shape(streams[w.stream]),
            constraints=made,
        ),
        Rule(
            "generate",
            "generate",
            outputs={"out": f"{ROWS}/tokens.bin", "out_stream": f"{ROWS}/stream.json"},
            record=f"{ROWS}/run.json",
            implied=lambda w: oracle_files(oracles[w.stream]),
            settings=lambda w: _dump(streams[w.stream]),
            recorded=lambda w: oracles[w.stream].model_dump(exclude={"kind", "sha256"}),
            options=lambda w: {"oracle": oracle_folder(oracles[w.stream])},
            vouches={"out_stream": ("out",)},
            constraints={"stream": alternatives(oracles)},
            priority=2,
        ),
        Rule(
            "resolve_stream",
            "resolve-stream",
            outputs={"out": f"{STREAM}/resolved.json"},
            record=f"{STREAM}/resolved.run.json",
            settings=lambda w: _dump(streams[w.stream]),
            options=lambda w: {"hub": hub_settings(plan)},
            hub=asks_hub(plan, lambda w: streams[w.stream]),
        ),
    ]


def _fetch(stream, settings):
    """A rule for each stream: the names of its wheels are known from the configuration only."""
    listing = f"{wheel_folder(stream)}/fetched.json"
    return Rule(
        f"fetch_corpus_{stream}".replace("-", "_").replace(".", "_"),
        "fetch-corpus",
        outputs={},
        beside={"listing": listing, "wheels": wheel_files(stream, settings)},
        record=f"{wheel_folder(stream)}/run.json",
        settings=lambda w: _dump(settings),
        recorded=lambda w: {"wheels": [wheel.model_dump() for wheel in settings.wheels]},
        options=lambda w: {"folder": wheel_folder(stream)},
        vouches={"listing": ("wheels",)},
        network=True,
    )


def wheel_folder(stream):
    return f"results/streams/{stream}/wheels"


def wheel_files(stream, settings):
    return [f"{wheel_folder(stream)}/{wheel.file}" for wheel in settings.wheels]


def oracle_folder(settings):
    """The checkpoint that draws an oracle stream."""
    return f"results/training/{settings.run}/step{settings.step}"


def oracle_files(settings):
    return [f"{oracle_folder(settings)}/{name}" for name in ("config.json", "model.safetensors")]


def asks_hub(plan, stream_of):
    """Which jobs of a rule that reads streams ask the hub, as Rule.hub; `stream_of` is a function of the wildcards."""
    return (lambda w: is_remote(stream_of(w))) if any(map(is_remote, plan.config.streams.values())) else False


def hub_settings(plan, repo=None):
    """How the hub is read, with the pairs of one repository only: those of another must not make anything again."""
    pairs = {name: value for name, value in plan.config.hub.known_equal.items() if name == repo}
    return as_json(plan.config.hub.model_copy(update={"known_equal": pairs}).model_dump(mode="json"))


def _shape(settings):
    return {"row_tokens": settings.row_tokens, "vocab_size": settings.tokenizer.vocab_size}


def _dump(settings):
    return settings.model_dump(mode="json")
