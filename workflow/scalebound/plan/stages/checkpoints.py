"""Checkpoints, wherever they come from: identity, windows of their streams, scores.

results/{family}/{slug}/resolve/hub.json             released: commit, weight files and their sha256
results/{family}/{slug}/fetch/fetched.json           released: the same files, verified in the hub's cache (HF_HOME)
results/{family}/{slug}/resolve/resolved.json        place, sha256 of every file, parameters, row of the table
results/{family}/{slug}/resolve/architecture.json    what a decoder may know before any data is seen
results/{family}/{slug}/resolve/history.json         its references: earlier models of its run, and the rows that they had not seen
results/{family}/{slug}/sample/{draw}/windows.parquet  window, row (id in the stream), tokens
results/{family}/{slug}/score/scores.parquet         window, position, nll, entropy (nats)
results/{family}/{slug}/price/scores.parquet         the same on the calibration draw, beside the references where there are any
results/{family}/{slug}/price/price.json             what a nat of code costs in the bound that is to be certified
results/{family}/{slug}/heldout/scores.parquet       the same on held-out rows, where the stream has some

From `resolve` on a trained, a local and a released checkpoint look the same. What a draw stored is what later stages use.
"""

from scalebound.artifacts.model_files import model_files
from scalebound.bounds.complexity import alpha_grid
from scalebound.configuration.streams import is_remote
from scalebound.plan.rule import CHECKPOINT, Rule
from scalebound.plan.stages.corpus import HELDOUT, asks_hub, hub_settings
from scalebound.scoring.sampling import rows_seen

HISTORY = f"{CHECKPOINT}/resolve/history.json"
PRICE = f"{CHECKPOINT}/price/price.json"
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
            "history",
            "history",
            inputs={
                "model": RESOLVED,
                "listing": lambda w: [f"results/training/{row(w).repo}/checkpoints.json"] if row(w).source == "trained" else [],
                "averages": lambda w: averages_of(row(w)),
                "resolved": lambda w: [RESOLVED.format(family=r.family, slug=r.slug) for r in plan.references_of(row(w))],
            },
            outputs={"out": HISTORY},
            record=f"{CHECKPOINT}/resolve/history.run.json",
            settings=lambda w: plan.history_of(row(w)),
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
            hub=asks_hub(plan, lambda w: plan.stream_of(row(w))),
        ),
        score(plan, "score", f"{CHECKPOINT}/score", RESOLVED, windows_of("score"), "run.json"),
        score(plan, "score_heldout", f"{CHECKPOINT}/heldout", RESOLVED, heldout_windows(plan), "run.json"),
        score(plan, "score_calibration", f"{CHECKPOINT}/price", RESOLVED, windows_of("calibration"), beside_references=True),
        Rule(
            "price",
            "price",
            inputs={"model": RESOLVED, "scores": f"{CHECKPOINT}/price/scores.parquet"},
            outputs={"out": PRICE},
            record=f"{CHECKPOINT}/price/run.json",
            settings=lambda w: plan.config.bound.model_dump() | {"method": plan.method_of(row(w))},
        ),
    ]


def score(plan, name, folder, model, windows, record="score.run.json", beside_references=False):
    """The rule that scores a model, resolved.json or decoded.json, on windows; with `beside_references`, where the row has some, beside these."""
    history = lambda w: beside_references and plan.history_of(plan.row(w.family, w.slug))  # noqa: E731
    inputs = {
        "history": lambda w: HISTORY.format(**vars(w)) if history(w) else [],
        "averages": lambda w: averages_of(plan.row(w.family, w.slug))[0] if history(w) and averages_of(plan.row(w.family, w.slug)) else [],
    }
    return Rule(
        name,
        (lambda w: "score-references" if history(w) else "score") if beside_references else "score",
        inputs={"model": model, "windows": windows} | (inputs if beside_references else {}),
        outputs={"out": f"{folder}/scores.parquet"},
        record=f"{folder}/{record}",
        settings=lambda w: plan.config.scoring.model_dump() | ({"alphas": online_alphas(plan)} if history(w) else {}),
        threads=True,
        gpu=True,
    )


def online_alphas(plan):
    """Smoothing weights of the grid of the online bound."""
    grid = plan.config.bound.online
    return alpha_grid(grid.alpha_points, grid.alpha_min, grid.alpha_max).tolist()


def averages_of(row):
    """[the file of averaged weights] of a row that was trained here."""
    return [f"results/training/{row.repo}/averages.safetensors"] if row.source == "trained" else []


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
