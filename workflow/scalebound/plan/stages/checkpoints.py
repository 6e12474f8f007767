"""Checkpoints, wherever they come from: identity, windows of their streams, scores.

results/{family}/{slug}/resolve/hub.json             released: commit, weight files and their sha256
results/{family}/{slug}/fetch/fetched.json           released: the same files, verified in the hub's cache (HF_HOME)
results/{family}/{slug}/resolve/resolved.json        place, sha256 of every file, parameters, row of the table
results/{family}/{slug}/resolve/architecture.json    what a decoder may know before any data is seen
results/{family}/{slug}/sample/{draw}/windows.parquet  window, row (id in the stream), tokens
results/{family}/{slug}/score/scores.parquet         window, position, nll, entropy (nats)
results/{family}/{slug}/heldout/scores.parquet       the same on held-out rows, where the stream has some

From `resolve` on a trained, a local and a released checkpoint look the same. What a draw stored is what later stages use.
"""

from scalebound.artifacts.model_files import model_files
from scalebound.configuration.streams import is_remote
from scalebound.plan.rule import CHECKPOINT, Rule
from scalebound.plan.stages.corpus import HELDOUT, hub_settings
from scalebound.scoring.sampling import rows_seen

RESOLVED, ARCHITECTURE = f"{CHECKPOINT}/resolve/resolved.json", f"{CHECKPOINT}/resolve/architecture.json"
SCORES, HELDOUT_SCORES = f"{CHECKPOINT}/score/scores.parquet", f"{CHECKPOINT}/heldout/scores.parquet"


def windows_of(draw):
    return f"{CHECKPOINT}/sample/{draw}/windows.parquet"


def rules(plan):
    hub, fetched = f"{CHECKPOINT}/resolve/hub.json", f"{CHECKPOINT}/fetch/fetched.json"
    row = lambda w: plan.row(w.family, w.slug)  # noqa: E731
    identity = lambda w: row(w).model_dump(exclude={"note"})  # noqa: E731 (words about a checkpoint must not make anything again)
    return [
        Rule(
            "resolve_hub",
            "resolve-hub",
            outputs={"out": hub},
            record=f"{CHECKPOINT}/resolve/hub.run.json",
            settings=identity,
            recorded=lambda w: identity(w) | {"known_equal": plan.config.hub.known_equal.get(row(w).repo, [])},
            options=lambda w: {"hub": hub_settings(plan, row(w).repo)},
            hub=True,
        ),
        Rule(
            "fetch",
            "fetch",
            inputs={"located": hub},
            outputs={"out": fetched},
            record=f"{CHECKPOINT}/fetch/run.json",
            options=lambda w: {"hub": hub_settings(plan, row(w).repo)},
            hub=True,
            retries=3,
        ),
        Rule(
            "resolve",
            "resolve",
            inputs={"fetched": lambda w: fetched.format(family=w.family, slug=w.slug) if row(w).source == "hub" else []},
            outputs={"out": RESOLVED, "out_architecture": ARCHITECTURE},
            record=f"{CHECKPOINT}/resolve/run.json",
            # the files of a released checkpoint lie in the hub's cache, outside of the results
            implied=lambda w: [] if row(w).source == "hub" else weight_files(row(w)),
            settings=identity,
            options=lambda w: {} if row(w).source == "hub" else {"folder": weights_folder(row(w))},
            vouches={"out": ("implied",)},
        ),
        Rule(
            "sample",
            # a command of its own where the network is needed
            lambda w: "fetch-windows" if is_remote(plan.stream_of(row(w))) else "sample",
            inputs={
                "stream": lambda w: plan.run_rows(row(w).repo, "stream.json") if row(w).source == "trained" else stream_listing(row(w).stream),
                "tokens": lambda w: plan.run_rows(row(w).repo, "tokens.bin") if row(w).source == "trained" else [],
            },
            outputs={"out": windows_of("{draw}")},
            record=f"{CHECKPOINT}/sample/{{draw}}/run.json",
            settings=lambda w: plan.config.sampling.draws()[w.draw].model_dump(),
            recorded=lambda w: _drawn(plan, row(w), w.draw),
            options=lambda w: {"tokens_seen": row(w).tokens_seen} | ({"hub": hub_settings(plan)} if is_remote(plan.stream_of(row(w))) else {}),
            hub=lambda w: is_remote(plan.stream_of(row(w))),
        ),
        score(plan, "score", f"{CHECKPOINT}/score", RESOLVED, windows_of("score"), "run.json"),
        score(plan, "score_heldout", f"{CHECKPOINT}/heldout", RESOLVED, heldout_windows(plan), "run.json"),
    ]


def score(plan, name, folder, model, windows, record="score.run.json"):
    """The rule that scores a model, resolved.json or decoded.json, on windows."""
    return Rule(
        name,
        "score",
        inputs={"model": model, "windows": windows},
        outputs={"out": f"{folder}/scores.parquet"},
        record=f"{folder}/{record}",
        settings=lambda w: plan.config.scoring.model_dump(),
        threads=True,
        gpu=True,
    )


def heldout_windows(plan):
    """The held-out rows of a checkpoint's stream: none but those that are made from wheels have any."""
    return lambda w: HELDOUT.format(stream=plan.row(w.family, w.slug).stream)


def stream_listing(stream):
    """What is known of a stream that the workflow does not make: where its rows are and how many."""
    return f"results/streams/{stream}/resolved.json"


def weights_folder(row):
    """Where the weights of a trained or local checkpoint lie; those of the hub stay in its cache."""
    return row.repo.rstrip("/") if row.source == "local" else f"results/training/{row.repo}/{row.revision}"


def weight_files(row):
    names = model_files(row.repo) if row.source == "local" else ("config.json", "model.safetensors")
    return [f"{weights_folder(row)}/{name}" for name in names]


def _drawn(plan, row, draw):
    settings, stream = plan.config.sampling.draws()[draw].model_dump() | {"tokens_seen": row.tokens_seen}, plan.stream_of(row)
    return settings | ({"rows_seen": rows_seen(row.tokens_seen, stream.row_tokens)} if stream.ordered else {})
