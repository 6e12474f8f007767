"""How many weights a second the coder of integers writes, reads and meters, by plain and by compiled loops."""

import time

import numpy as np

from scalebound.benchmarks.lines import Line
from scalebound.quantization.rate import coders, compiled, message
from scalebound.quantization.rate.coded_tensor import CodedTensor

_MATRICES, _ROWS = 4, 1024
_SPREAD = 0.5  # of the logarithm of rows' and columns' scales
_SCALE = 1.0  # of codes; so there are about 2.5 bits a weight
_PLAIN = 1 << 20  # weights of the sample for plain loops
_REPETITIONS = 3  # the best of so many counts


def measure(weights, seed):
    """The Lines of a model of about so many weights."""
    rates = coder_rates(weights, seed)
    for work in ("encode", "decode", "meter"):
        plain, fast = (rates[f"{work}, {loops} loops"] for loops in ("plain", "compiled"))
        yield Line(f"{work} {weights / 1e6:.0f} M weights", fast / 1e6, "M weights/s", ">= 20")
        yield Line(f"{work}: compiled / plain loops", fast / plain, "")


def coder_rates(parameters, seed):
    """{"encode, plain loops" and so on: weights a second} of a random model of about so many weights, at about 2.5 bits each.

    One process and one core; plain loops code a model of at most 2^20 weights. Compiling is not counted.
    """
    large, small = (_random_model(count, seed) for count in (parameters, min(parameters, _PLAIN)))
    _rates(_random_model(0, seed), compiled)
    found = {}
    for name, ends, model in (("plain", coders, small), ("compiled", compiled, large)):
        found |= {f"{work}, {name} loops": rate for work, rate in _rates(model, ends).items()}
    return found


def _rates(model, ends):
    """{work: weights a second} of (tensors, architecture)."""
    tensors, architecture = model
    data, _ = message.encode(tensors, architecture, ends)
    weights = sum(tensor.codes.size for tensor in tensors.values())
    works = {
        "encode": lambda: message.encode(tensors, architecture, ends),
        "decode": lambda: message.decode(data, architecture, ends=ends),
        "meter": lambda: message.ideal_bits(tensors, architecture["parameters"], ends),
    }
    return {name: weights / _seconds(work) for name, work in works.items()}


def _random_model(count, seed):
    """({name: CodedTensor}, architecture) of four matrices that together have about `count` weights, each row and column of its own scale."""
    columns, rng = max(2, round(count / _MATRICES / _ROWS)), np.random.default_rng(seed)
    parameters = [{"name": f"w{k}", "shape": [_ROWS, columns], "use": "linear"} for k in range(_MATRICES)]
    return {p["name"]: _random_tensor(columns, rng) for p in parameters}, {"id": bytes(16).hex(), "parameters": parameters}


def _random_tensor(columns, rng):
    scales = _SCALE * np.exp(_SPREAD * rng.normal(size=(_ROWS, 1)) + _SPREAD * rng.normal(size=(1, columns)))
    codes = np.rint(rng.laplace(size=(_ROWS, columns)) * scales).astype(np.int32)
    return CodedTensor(codes, 0, np.zeros(_ROWS, np.int16), np.zeros(columns, np.int16))


def _seconds(work):
    times = []
    for _ in range(_REPETITIONS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)
