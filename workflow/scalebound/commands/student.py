"""Train a student only on what its teacher, a run of the workflow, draws; count the bits, or send them and train it again from the message."""

import dataclasses
import json
import math
from pathlib import Path

import pyarrow as pa

from scalebound.artifacts import atomic
from scalebound.artifacts.parquet import write_parquet
from scalebound.artifacts.provenance import describe_files, identity
from scalebound.artifacts.tensors import write_tensors
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.configuration.config import TrainingRun
from scalebound.configuration.studies import RandomCode
from scalebound.configuration.types import Model, Seed, Slug
from scalebound.corpus.rows import open_rows
from scalebound.errors import InputError
from scalebound.quantization.message import code_length_bits
from scalebound.requential.lengths import step_bits

GROUP = "studies"

FILES = ("config.json", "model.safetensors")


class Settings(Model):
    """The run that teaches, up to a step; what its student is trained on: rows, stream, or what a code of that name sends; lessons and seeds."""

    run: TrainingRun
    step: int
    source: Slug
    lesson_share: float
    least_lesson: int
    seed: Seed
    code: RandomCode | None = None


def add_arguments(parser):
    add_settings(parser, Settings)
    parser.add_argument("--name", required=True, help="name of the run")
    parser.add_argument("--tokens", required=True, help="tokens.bin")
    parser.add_argument("--stream", required=True, help="stream.json")
    parser.add_argument("--out", required=True, help="folder for config.json, model.safetensors and student.json, the student")
    parser.add_argument("--out-steps", required=True, help="steps.parquet: step, divergence of its batch, mean losses of student and teacher (nats)")
    parser.add_argument("--out-report", required=True, help="code.json: bits by term, in all and for each parameter")
    parser.add_argument("--out-message", help="student.bin: what was sent, where a code is given")


def run(arguments):
    import torch

    from scalebound.requential.lessons import teach

    settings = read_settings(arguments, Settings)
    # as many as its teacher's training had: a sum's order, and with it every bit of the result, does not depend on the machine's load
    torch.set_num_threads(settings.run.threads)
    torch.use_deterministic_algorithms(True)
    rows, _ = open_rows(arguments.tokens, arguments.stream)
    source = _source(settings, rows, arguments.out_message)
    made_of = identity(
        "student",
        {"tokens": arguments.tokens, "stream": arguments.stream},
        settings.model_dump(mode="json"),
        packages=["numpy", "torch", "transformers"],
        device="cpu",
        dtype="float32",
        threads=settings.run.threads,
    )
    unfinished = arguments.unfinished(arguments.out, made_of)
    student, taught = teach(settings.run, settings.step, rows, settings, source, arguments.name, unfinished)
    message = source.message() if settings.code else None
    if message is not None:
        _check_replay(message, student, settings, rows)
        atomic.write_bytes(arguments.out_message, message)
    report = lengths([step.divergence for step in taught], student.weights.values.numel(), message)
    columns = {field.name: [getattr(step, field.name) for step in taught] for field in dataclasses.fields(taught[0])}
    write_parquet(arguments.out_steps, pa.table(columns), made_of)
    sent = [] if message is None else describe_files(Path(arguments.out_message).parent, [Path(arguments.out_message).name])
    atomic.write_json(arguments.out_report, {"identity": made_of, "source": settings.source, "sent": message is not None, "files": sent, **report})
    _write_model(Path(arguments.out), student, rows.vocab_size, made_of)
    shown = f"KL {report['divergence_bits_per_param']:.3f}, in all {report['coded_bits_per_param']:.3f} bits a parameter"
    print(f"{arguments.name}, source {settings.source}: {shown}")
    return [
        *(Path(arguments.out) / name for name in (*FILES, "student.json")),
        arguments.out_steps,
        arguments.out_report,
        *([] if message is None else [arguments.out_message]),
    ]


def lengths(divergences, n_params, message=None):
    """The numbers of code.json from KL of each step in nats: `nominal` without logarithm and constant, as it is reported of requential codes; `code` with both.

    Of a student that was sent, both are what the message takes.
    """
    terms = [math.fsum(bits) for bits in step_bits(divergences)]
    sums = dict(zip(("divergence_bits", "logarithm_bits", "constant_bits"), terms))
    formula = math.ceil(math.fsum(terms))
    nominal, coded = (math.ceil(terms[0]), formula) if message is None else (code_length_bits(len(message)),) * 2
    return {
        **sums,
        "formula_bits": formula,
        "divergence_bits_per_param": terms[0] / n_params,
        "formula_bits_per_param": formula / n_params,
        "nominal_bits": nominal,
        "nominal_bits_per_param": nominal / n_params,
        "code_length_bits": coded,
        "coded_bits_per_param": coded / n_params,
        "n_params": n_params,
        "steps": len(divergences),
        # nothing was rounded
        "gptq_share": 0.0,
    }


def _source(settings, rows, message):
    from scalebound.requential.replay import Coder
    from scalebound.requential.sources import PlacesOfTheStream, WholeRows

    if (settings.code is None) != (message is None):
        found = f"code {settings.code}, --out-message {message}"
        raise InputError("--settings", found, "Give a code and a place for the message, or neither of them")
    if settings.code is not None:
        return Coder(settings.run, rows.row_tokens, settings.code)
    known = {"rows": WholeRows, "stream": PlacesOfTheStream}
    if settings.source not in known:
        raise InputError("--settings", f"source {settings.source!r} without a code", f"Sources without one: {', '.join(known)}")
    return known[settings.source](settings.run, rows, settings.seed)


def _check_replay(message, student, settings, rows):
    import torch

    from scalebound.requential.replay import replay

    again = replay(message, settings.run, settings.step, rows.row_tokens, rows.vocab_size, settings.code)
    if not torch.equal(again.weights.values, student.weights.values):
        raise InputError("student.bin", "another student is trained from it than the one that was sent", "This is a defect of the code: please report it")


def _write_model(folder, student, vocab_size, made_of):
    config = student.model.config.to_dict()
    atomic.write_bytes(folder / "config.json", (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())
    weights = {name: tensor.numpy() for name, tensor in student.weights.named(student.weights.values).items()}
    write_tensors(folder / "model.safetensors", weights, {"format": "pt"})
    facts = {"n_params": student.weights.values.numel(), "vocab_size": vocab_size}
    atomic.write_json(folder / "student.json", {"identity": made_of, "folder": str(folder), "files": describe_files(folder, FILES), **facts})
