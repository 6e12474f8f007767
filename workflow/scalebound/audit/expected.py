"""What must lie under results/ for a family that has been run, and what each file must say of itself.

Written from the plan alone and independently of the rules, so that the two check each other (a test compares them).
Paths are relative to the folder that holds `results`.
"""

from scalebound.audit.expected_studies import STUDY_JOBS
from scalebound.audit.job import Job
from scalebound.plan.plan import FIGURE_FORMATS, FIGURES
from scalebound.plan.studies import STUDIES
from scalebound.scoring.sampling import rows_seen


def jobs_of_family(plan, family, studies=()):
    """Every job behind the results of one family, downloads first; `studies` are those asked for beside those of the run."""
    rows, runs = plan.rows_of(family), plan.runs_of(family)
    streams = list(dict.fromkeys(row.stream for row in rows))
    jobs = [job for stream in streams for job in _stream_jobs(plan, stream)]
    jobs += [job for run in runs for job in _training_jobs(plan, run)]
    jobs = list({job.record: job for job in jobs}.values())
    for row in rows:
        jobs += _checkpoint_jobs(plan, row)
    jobs += _family_jobs(plan, family)
    for study in dict.fromkeys((*plan.config.studies.run, *studies)):
        jobs += STUDY_JOBS[study](plan, family, rows)
        jobs += [_figure_job(plan, family, name, table) for name, table in STUDIES[study].figures.items()]
    return list({job.record: job for job in jobs}.values())


def _stream_jobs(plan, stream):
    kind = plan.config.streams[stream].kind
    if kind == "oracle":
        run = plan.config.streams[stream].run
        return [*_stream_jobs(plan, plan.config.training[run].stream), *_training_jobs(plan, run)]
    return _wheel_jobs(plan, stream) if kind == "wheels" else [_listing_job(plan, stream)]


def _listing_job(plan, stream):
    listing, base = plan.stream_listing(stream), f"results/streams/{stream}/resolved"
    return Job("resolve-stream", f"{base}.run.json", f"{base}.log", {listing: listing}, settings=plan.config.streams[stream].model_dump(mode="json"))


def _wheel_jobs(plan, stream):
    folder, settings = f"results/streams/{stream}", plan.config.streams[stream]
    wheels, listing = plan.wheel_files(stream), f"{folder}/wheels/fetched.json"
    documents, tokenizer = f"{folder}/documents.parquet", f"{folder}/tokenizer.json"
    named = f"{folder}/tokenizer.identity.json"
    split = settings.model_dump(include={"document_seed", "tokenizer_fraction", "heldout_fraction", "suffixes"})
    return [
        Job(
            "fetch-corpus",
            f"{folder}/wheels/run.json",
            f"{folder}/wheels/fetch-corpus.log",
            {listing: listing, **dict.fromkeys(wheels, listing)},
            settings={"wheels": [wheel.model_dump() for wheel in settings.wheels]},
            files={listing: wheels},
        ),
        Job(
            "documents",
            f"{folder}/documents.run.json",
            f"{folder}/documents.log",
            {documents: documents},
            inputs={path.rsplit("/", 1)[1]: path for path in wheels},
            settings=split,
        ),
        Job(
            "tokenizer",
            f"{folder}/tokenizer.run.json",
            f"{folder}/tokenizer.log",
            {tokenizer: named, named: named},
            inputs={"documents": documents},
            settings=settings.tokenizer.model_dump(),
            files={named: [tokenizer]},
        ),
    ]


def _training_jobs(plan, run):
    settings = plan.config.training[run]
    tokens, stream = (plan.run_rows(run, name) for name in ("tokens.bin", "stream.json"))
    folder = f"results/training/{run}"
    listing, loss, kept = f"{folder}/checkpoints.json", f"{folder}/loss.parquet", plan.checkpoint_files(run)
    return [
        _rows_job(plan, run, tokens, stream),
        Job(
            "train",
            f"{folder}/run.json",
            f"{folder}/train.log",
            {loss: loss, listing: listing, **dict.fromkeys(kept, listing)},
            inputs={"tokens": tokens, "stream": stream},
            settings=settings.model_dump(),
            files={listing: kept},
        ),
    ]


def _rows_job(plan, run, tokens, stream):
    """The rows that a run reads: of documents, or drawn from an oracle."""
    run = plan.config.training[run]
    source, folder, settings = plan.config.streams[run.stream], f"results/streams/{run.stream}", {"rows": run.steps * run.batch_rows // run.epochs}
    stage, keys = ("generate", {"run", "step", "seed", "row_tokens", "vocab_size"}) if source.kind == "oracle" else ("tokenize", {"row_tokens"})
    inputs = {"documents": f"{folder}/documents.parquet", "tokenizer": f"{folder}/tokenizer.json"}
    if stage == "generate":
        inputs = {name: f"results/training/{source.run}/step{source.step}/{name}" for name in ("config.json", "model.safetensors")}
    record, log = (stream.replace("stream.json", name) for name in ("run.json", f"{stage}.log"))
    return Job(stage, record, log, {tokens: stream, stream: stream}, inputs, settings | source.model_dump(include=keys), {stream: [tokens]})


def _checkpoint_jobs(plan, row):
    folder = f"results/{row.family}/{row.slug}"
    resolved = f"{folder}/resolve/resolved.json"
    jobs = [*(_release_jobs(plan, row, folder) if row.source == "hub" else []), _resolve_job(plan, row, folder)]
    jobs += [_draw_job(plan, row, folder, draw) for draw in plan.draws_used()]
    jobs.append(_score_job(plan, folder, resolved, folder))
    for quantizer in plan.config.quantize_with:
        jobs += _quantizer_jobs(plan, folder, quantizer)
    return jobs + (_certificate_jobs(plan, row, folder) if plan.config.certificate.quantizer else [])


def _release_jobs(plan, row, folder):
    hub, fetched = f"{folder}/resolve/hub.json", f"{folder}/fetch/fetched.json"
    settings = plan.row_identity(row.family, row.slug) | {"known_equal": plan.config.hub.known_equal.get(row.repo, [])}
    return [
        Job("resolve-hub", f"{folder}/resolve/hub.run.json", f"{folder}/resolve/hub.log", {hub: hub}, settings=settings),
        Job("fetch", f"{folder}/fetch/run.json", f"{folder}/fetch/fetch.log", {fetched: fetched}, {"hub": hub}),
    ]


def _resolve_job(plan, row, folder):
    resolved, architecture = f"{folder}/resolve/resolved.json", f"{folder}/resolve/architecture.json"
    inputs = plan.weights_inputs(row.family, row.slug)
    return Job(
        "resolve",
        f"{folder}/resolve/run.json",
        f"{folder}/resolve/resolve.log",
        {resolved: resolved, architecture: architecture},
        inputs=inputs,
        settings=plan.row_identity(row.family, row.slug),
        # the files of a released checkpoint lie in the hub's cache, outside of the results
        files={} if row.source == "hub" else {resolved: list(inputs.values())},
    )


def _draw_job(plan, row, folder, draw):
    windows, stream = f"{folder}/sample/{draw}/windows.parquet", plan.config.streams[row.stream]
    settings = plan.config.sampling.draws()[draw].model_dump() | {"tokens_seen": row.tokens_seen}
    if stream.kind in ("wheels", "oracle", "megatron"):
        settings["rows_seen"] = rows_seen(row.tokens_seen, stream.row_tokens)
    record, log = f"{folder}/sample/{draw}/run.json", f"{folder}/sample/{draw}/sample.log"
    return Job(plan.draw_stage(row.family, row.slug), record, log, {windows: windows}, plan.draw_inputs(row.family, row.slug), settings)


def _score_job(plan, folder, model, checkpoint):
    scores = f"{folder}/score/scores.parquet"
    inputs = {"model": model, "windows": f"{checkpoint}/sample/score/windows.parquet"}
    return Job("score", f"{folder}/score/run.json", f"{folder}/score/score.log", {scores: scores}, inputs, plan.config.scoring.model_dump())


def _quantizer_jobs(plan, checkpoint, quantizer):
    folder, settings = f"{checkpoint}/quantizers/{quantizer}", plan.config.quantizers[quantizer].model_dump(mode="json")
    resolved, architecture = f"{checkpoint}/resolve/resolved.json", f"{checkpoint}/resolve/architecture.json"
    codes, report = f"{folder}/quantize/codes.safetensors", f"{folder}/quantize/quantization.json"
    message, code = f"{folder}/encode/model.sbq", f"{folder}/encode/code.json"
    decoded, bounds = f"{folder}/decode/decoded.json", f"{folder}/bound/bounds.json"
    rebuilt = [f"{folder}/decode/config.json", f"{folder}/decode/model.safetensors"]
    scores = {"scores": f"{checkpoint}/score/scores.parquet", "quantized_scores": f"{folder}/score/scores.parquet"}

    def job(stage, *rest, **options):
        return Job(stage, f"{folder}/{stage}/run.json", f"{folder}/{stage}/{stage}.log", *rest, **options)

    calibration = f"{checkpoint}/sample/calibration/windows.parquet"
    made = {"model": resolved, "architecture": architecture, "calibration": calibration}
    if plan.config.quantizers[quantizer].method == "coded":
        inputs = made | {"tuning": f"{checkpoint}/sample/tuning/windows.parquet"}
        record, log = f"{folder}/encode/run.json", f"{folder}/encode/compress.log"
        first = [Job("compress", record, log, {codes: codes, message: code, code: code}, inputs, settings, {code: [message]})]
    else:
        first = [
            job("quantize", {codes: codes, report: report}, inputs=made, settings=settings),
            job("encode", {message: code, code: code}, inputs={"codes": codes, "architecture": architecture}, settings=settings, files={code: [message]}),
        ]
    return [
        *first,
        job(
            "decode",
            {decoded: decoded, **dict.fromkeys(rebuilt, decoded)},
            inputs={"message": message, "architecture": architecture},
            files={decoded: rebuilt},
        ),
        _score_job(plan, folder, decoded, checkpoint),
        job(
            "bound",
            {bounds: bounds},
            inputs={"model": resolved, "code": code, **scores},
            settings=plan.config.bound.model_dump() | {"quantizer": quantizer},
        ),
    ]


def _family_jobs(plan, family):
    folder = f"results/{family}"
    config, table, named = f"{folder}/config.json", f"{folder}/bounds.csv", f"{folder}/bounds.identity.json"
    bounds, certified = plan.bounds_of(family), plan.certificates_of(family) if plan.config.certificate.quantizer else []
    jobs = [
        Job("resolved-config", f"{folder}/config.run.json", f"{folder}/config.log", {config: config}),
        Job(
            "table",
            f"{folder}/bounds.run.json",
            f"{folder}/bounds.log",
            {table: named, named: named},
            inputs={path: path for path in bounds},
            files={named: [table]},
        ),
    ]
    if certified:
        jobs.append(_certificates_job(plan, family, certified, bounds))
    if family in plan.config.published:
        jobs.append(_comparison_job(plan, family, table))
    return jobs + [_figure_job(plan, family, name, FIGURES[name]) for name in plan.figures_of(family)]


def _figure_job(plan, family, name, table):
    base = f"results/{family}/figures/{name}"
    drawn = [f"{base}.{form}" for form in FIGURE_FORMATS]
    settings = {"figure": name, "quantizer": plan.config.paper_quantizer}
    return Job("figures", f"{base}.run.json", f"{base}.log", {path: path for path in drawn}, {"table": f"results/{family}/{table}"}, settings)


def _certificates_job(plan, family, certified, bounds):
    base = f"results/{family}/certificates"
    out, named = f"{base}.csv", f"{base}.identity.json"
    inputs = {path: path for path in (*certified, *bounds, *plan.true_risks_of(family))}
    settings = {"paper_quantizer": plan.config.paper_quantizer, "untuned": plan.config.certificate.untuned or ""}
    return Job("certificates", f"{base}.run.json", f"{base}.log", {out: named, named: named}, inputs, settings, {named: [out]})


def _certificate_jobs(plan, row, checkpoint):
    """The decoded model scored on a draw of its own, and the certificate with copies of what it rests on."""
    source, folder = f"{checkpoint}/quantizers/{plan.config.certificate.quantizer}", plan.certificate_folder(row.family, row.slug)
    scores, windows = f"{folder}/scores.parquet", f"{checkpoint}/sample/certify/windows.parquet"
    decoded, certificate = f"{source}/decode/decoded.json", f"{folder}/certificate.json"
    copies = [f"{folder}/{name}" for name in ("model.sbq", "architecture.json", "windows.parquet")]
    inputs = {"model": f"{checkpoint}/resolve/resolved.json", "code": f"{source}/encode/code.json", "message": f"{source}/encode/model.sbq"}
    inputs |= {"architecture": f"{checkpoint}/resolve/architecture.json", "windows": windows, "scores": scores}
    settings = plan.config.certificate.model_dump(exclude={"untuned"}) | {"ceilings": plan.config.bound.ceilings.model_dump()}
    scoring = plan.config.scoring.model_dump()
    truth = [_true_risk_job(plan, row, checkpoint, folder)] if plan.config.streams[row.stream].kind == "oracle" else []
    return [
        *truth,
        Job("score", f"{folder}/score.run.json", f"{folder}/score.log", {scores: scores}, {"model": decoded, "windows": windows}, scoring),
        Job(
            "certify",
            f"{folder}/run.json",
            f"{folder}/certify.log",
            {certificate: certificate, **dict.fromkeys(copies, certificate)},
            inputs,
            settings,
            {certificate: [*copies, scores]},
        ),
    ]


def _true_risk_job(plan, row, checkpoint, folder):
    risk, oracle = f"{folder}/true_risk.json", plan.config.streams[row.stream]
    inputs = {"tokens": plan.run_rows(row.repo, "tokens.bin"), "stream": plan.run_rows(row.repo, "stream.json")}
    inputs |= {"model": f"{checkpoint}/resolve/resolved.json", "certificate": f"{folder}/certificate.json"}
    inputs |= {"decoded": f"{checkpoint}/quantizers/{plan.config.certificate.quantizer}/decode/decoded.json"}
    inputs |= {f"oracle {name}": f"results/training/{oracle.run}/step{oracle.step}/{name}" for name in ("config.json", "model.safetensors")}
    return Job("true-risk", f"{folder}/true_risk.run.json", f"{folder}/true_risk.log", {risk: risk}, inputs)


def _comparison_job(plan, family, table):
    base = f"results/{family}/comparison"
    out, named = f"{base}.csv", f"{base}.identity.json"
    inputs, settings = {"table": table, "published": plan.published_of(family)}, {"quantizer": plan.config.paper_quantizer}
    return Job("compare", f"{base}.run.json", f"{base}.log", {out: named, named: named}, inputs, settings, {named: [out]})
