"""Measure speed and memory on this machine, side by side with what they are compared with: bench.csv, one line a value with its target."""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from scalebound.artifacts import atomic
from scalebound.errors import InputError

GROUP = "the project itself"
EXAMPLE = "scoring bounds --shapes 70m 160m"

PARTS = ("scoring", "bounds", "coder", "memory", "plan")


def add_arguments(parser):
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all of them where none is named")
    parser.add_argument("--shapes", nargs="+", default=["70m"], metavar="SHAPE", help="scoring: Pythia's sizes, 70m to 12b")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="scoring: of the weights")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"], help="scoring")
    parser.add_argument("--windows", type=int, default=3, help="scoring: windows of 2048 predictions, two at least")
    parser.add_argument("--tokens", type=int, default=50_000_000, help="bounds: tokens of the sample")
    parser.add_argument("--weights", type=int, default=20_000_000, help="coder: weights of the model")
    parser.add_argument("--shape", default="70m", help="memory: one of Pythia's sizes, whose way to decoded weights is limited in memory")
    parser.add_argument("--steps", type=int, default=154, help="plan: steps of each of Pythia's eight sizes")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--repetitions", type=int, default=3, help="the best of so many counts")
    parser.add_argument("--out", default="results/bench.csv", help="bench.csv: name, value, unit, target, holds")


def run(arguments):
    if unknown := [part for part in arguments.parts if part not in PARTS]:
        raise InputError("bench", f"no part {unknown[0]!r}", f"The parts are {', '.join(PARTS)}")
    counts = (arguments.windows, arguments.threads, arguments.repetitions, arguments.tokens, arguments.weights, arguments.steps)
    if min(counts) < 1 or arguments.windows < 2:
        raise InputError("bench", "a count below 1", "Give at least two windows and one thread, repetition, token, weight and step")
    from scalebound.benchmarks.lines import machine

    measures = {"scoring": _scoring, "bounds": _bounds, "coder": _coder, "memory": _memory, "plan": _plan}
    lines = []
    for part in arguments.parts or PARTS:
        print(f"bench {part} ...", flush=True)
        lines += measures[part](arguments)
    Console().print(_shown(lines, f"{machine()}, {arguments.threads} threads"))
    rows = [f'"{line.name}",{line.value:.6g},{line.unit},{line.target},{_word(line.holds)}' for line in lines]
    atomic.write_bytes(arguments.out, ("\n".join(["name,value,unit,target,holds", *rows]) + "\n").encode())
    return [arguments.out]


def _scoring(arguments):
    import torch

    from scalebound.benchmarks import scoring
    from scalebound.models import files

    for shape in arguments.shapes:
        _check_shape("--shapes", shape)
    torch.set_num_threads(arguments.threads)
    device = files.choose_device(arguments.device)
    return [line for shape in arguments.shapes for line in scoring.measure(shape, arguments.dtype, device, arguments.windows, arguments.repetitions)]


def _bounds(arguments):
    from scalebound.benchmarks import bounds

    return list(bounds.measure(arguments.tokens))


def _coder(arguments):
    from scalebound.benchmarks import coder

    return list(coder.measure(arguments.weights, seed=0))


def _memory(arguments):
    from scalebound.benchmarks import memory

    _check_shape("--shape", arguments.shape)
    return list(memory.measure(arguments.shape))


def _check_shape(option, shape):
    from scalebound.benchmarks.scoring import SHAPES

    if shape not in SHAPES:
        raise InputError(option, shape, f"One of {', '.join(SHAPES)}")


def _plan(arguments):
    from scalebound.benchmarks import plan

    return list(plan.measure(arguments.steps, Path.cwd()))


def _shown(lines, title):
    table = Table(title=title, box=box.SIMPLE_HEAD)
    for name in ("", "value", "unit", "target", "holds"):
        table.add_column(name, justify="right" if name == "value" else "left")
    for line in lines:
        table.add_row(line.name, f"{line.value:,.4g}", line.unit, line.target, _word(line.holds))
    return table


def _word(holds):
    return {None: "", True: "yes", False: "no"}[holds]
