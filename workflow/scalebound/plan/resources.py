"""What a job asks of a cluster: memory, minutes and GPUs, from what its checkpoint is expected to cost.

A job that was killed asks for twice as much at its next attempt, so that what is said here has to be right for most jobs, not for all.
None of it is among the params of a job: a better estimate makes nothing again.
"""

import math
import os
from dataclasses import dataclass

from scalebound.artifacts.provenance import read_json
from scalebound.errors import InputError
from scalebound.plan.plan import hub_file
from scalebound.plan.rule import SHORT
from scalebound.plan.run_costs import STORED_BYTES, Cost, Work, estimate
from scalebound.plan.stages.checkpoints import ARCHITECTURE, weight_files

# snakemake twice (the job's shell, and the step that began it) and a process with torch: 1.2 GB at most where it was measured
MEMORY_MB = 2000
# beside the estimate for a job that holds a model; a CUDA context takes about as much of the host's memory
MODEL_MB = 3000
MINUTES, SHORT_MINUTES = 30, 10
MARGIN = 2  # on the estimated time
# operations a second of matrix products: one core, whose rate training was seen to reach, and devices of a data center
RATES = {"cpu": 6e10, "float32": 1.5e13, "bfloat16": 1.5e14}
DEVICE_BYTES = 40e9  # memory of one GPU; a model that needs more is spread over several
# of a checkpoint of which nothing is known yet
UNKNOWN_PARAMETERS = 1_000_000_000
VOCABULARY = 50_304
SCORING = ("score", "score-references", "references")
QUANTIZING = ("quantize", "compress")
HOLD_A_MODEL = ("encode", "decode", "certify", "resolve", "history", "true-risk")


@dataclass(frozen=True)
class Request:
    """Of the first attempt: megabytes of memory, minutes, GPUs where the configuration wants them."""

    mem_mb: int
    minutes: int
    gpus: int = 0

    def at(self, attempt):
        """The same at a later attempt, from 1 on: memory and time double with each."""
        return Request(self.mem_mb << (attempt - 1), self.minutes << (attempt - 1), self.gpus)


class Requests:
    """The Request of every job of a plan. What is found out about a checkpoint is kept; what is not known yet is looked for again."""

    def __init__(self, plan):
        self.plan, self.known, self.parts = plan, {}, {}

    def of(self, rule, wildcards):
        if rule.group == SHORT:
            return Request(MEMORY_MB, SHORT_MINUTES)
        stage = rule.stage_of(wildcards)
        if stage in ("train", "student"):
            return training_request(self._work_of_training(rule.options(wildcards)["name"]) * _runs_in(stage, rule, wildcards))
        if rule.gpu or stage in HOLD_A_MODEL:
            return self._of_model(stage, wildcards)
        return Request(MEMORY_MB, MINUTES)

    def _of_model(self, stage, wildcards):
        quantizers = [wildcards.quantizer] if stage in QUANTIZING else []
        key = wildcards.family, wildcards.slug, stage, *quantizers
        if key not in self.known:
            row, config = self.plan.row(wildcards.family, wildcards.slug), self.plan.config
            parameters = self._parameters(row)
            work = Work(quantizers, row.tokens_seen, certified=False, has_references=bool(self.plan.history_of(row)))
            cost = estimate(parameters or UNKNOWN, 0, _on_the_largest_draw(config), self.plan.stream_of(row).row_tokens, work)
            request = model_request(stage, cost, config.scoring)
            if parameters is None:
                return request
            self.known[key] = request
        return self.known[key]

    def _parameters(self, row):
        """[{shape, use}] of a checkpoint from the best that is known of it by now; None where nothing is."""
        key = row.family, row.slug
        if key not in self.parts:
            found = _described(ARCHITECTURE.format(family=row.family, slug=row.slug)) or self._announced(row)
            if found is None:
                return None
            self.parts[key] = found
        return self.parts[key]

    def _announced(self, row):
        """The same before the checkpoint is there: from the settings of its training, or the size of its files."""
        if row.source == "trained":
            run = self.plan.run(row.repo)
            return transformer(run.hidden_size, run.layers, vocabulary_of(self.plan.config.streams[run.stream]))
        sizes = _sizes_at_hub(hub_file(row)) if row.source == "hub" else _sizes_here(weight_files(row))
        return transformer_of(sum(sizes) / STORED_BYTES) if sizes else None

    def _work_of_training(self, name):
        """Operations of a training run: a pass forwards and one back, which takes twice as many."""
        run = self.plan.run(name)
        stream = self.plan.config.streams[run.stream]
        tokens = run.steps * run.batch_rows * (stream.row_tokens - 1)
        entries = sum(math.prod(p["shape"]) for p in transformer(run.hidden_size, run.layers, vocabulary_of(stream)) if p["use"] == "linear")
        return 6 * entries * tokens


def _runs_in(stage, rule, wildcards):
    """How many runs a job is worth: a student's is its teacher's, its own, and drawing; to be sent, all candidates forwards by three models."""
    if stage == "train":
        return 1
    code = rule.settings(wildcards)["code"]
    return 5 if code is None else 5 + 2 ** code["bits"]


def model_request(stage, cost, scoring):
    """What a job asks for that holds a model of the Cost."""
    scores = stage in SCORING
    largest = max(cost.score_memory_bytes, cost.quantize_memory_bytes)
    size = cost.score_memory_bytes if scores else cost.quantize_memory_bytes if stage == "quantize" else largest
    on_gpu = scoring.device == "cuda" and stage not in HOLD_A_MODEL
    # of a model that is rounded on a grid, one block at a time is on the device
    gpus = 1 if stage == "quantize" else math.ceil(size / DEVICE_BYTES)
    # only scoring has another precision than float32
    rate = RATES[scoring.dtype if scores else "float32"] if on_gpu else RATES["cpu"]
    return Request(MODEL_MB + math.ceil(size / 1e6), MINUTES + _minutes(cost, rate), gpus if on_gpu else 0)


def training_request(operations):
    """What a training run asks for: a model that is small enough for one core, and the minutes that it would take there."""
    return Request(MEMORY_MB, MINUTES + _minutes(Cost(0, 0, 0, 0, 0, operations), RATES["cpu"]))


def transformer(width, layers, vocabulary):
    """[{shape, use}] of the matrices of a GPT-NeoX model: attention, a feed-forward layer of four times the width, embeddings apart."""
    embedding = {"shape": [vocabulary, width], "use": "embedding"}
    layer = [[3 * width, width], [width, width], [4 * width, width], [width, 4 * width]]
    return [embedding, *({"shape": shape, "use": "linear"} for shape in [*layer * layers, [vocabulary, width]])]


def transformer_of(parameters):
    """The same for a number of parameters, with 128 dimensions a layer, as large models have about: 12 width^2 of them are in each."""
    width = max(128, round((parameters * 128 / 12) ** (1 / 3)))
    return transformer(width, max(1, round(parameters / (12 * width**2))), VOCABULARY)


UNKNOWN = transformer_of(UNKNOWN_PARAMETERS)


def vocabulary_of(stream):
    return stream.tokenizer.vocab_size if stream.kind == "wheels" else stream.vocab_size


def _on_the_largest_draw(config):
    """The configuration of a run whose windows are those of the largest draw that is scored."""
    windows = max(draw.windows for name, draw in config.sampling.draws().items() if name != "tuning")
    score = config.sampling.score.model_copy(update={"windows": windows})
    return config.model_copy(update={"sampling": config.sampling.model_copy(update={"score": score})})


def _minutes(cost, rate):
    return math.ceil(MARGIN * 60 * cost.hours(rate))


def _described(path):
    """The parameters that an architecture.json lists; None where there is none yet, or none that can be read: the job that needs it says so."""
    if not os.path.exists(path):
        return None
    try:
        return read_json(path, "resolve", {"parameters": list})["parameters"]
    except (InputError, OSError):
        return None


def _sizes_at_hub(path):
    """Bytes of the weight files that a hub.json lists."""
    if not os.path.exists(path):
        return []
    try:
        return [file["size"] for file in read_json(path, "resolve-hub", {"hub": dict})["hub"]["files"]]
    except (InputError, OSError, KeyError, TypeError):
        return []


def _sizes_here(paths):
    return [os.path.getsize(path) for path in paths if os.path.exists(path)]
