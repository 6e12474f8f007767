"""What a checkpoint will cost before it is run: download, memory, tokens, floating-point operations, hours."""

from dataclasses import dataclass

BYTES = {"float32": 4, "bfloat16": 2}
# share of the matrix-product rate that forward passes of transformers reach
EFFICIENCY = 0.4
# beside the weights: activations, statistics and fragments
OVERHEAD = 1.2


@dataclass(frozen=True)
class Cost:
    """Bytes, tokens and operations of one checkpoint with all its quantizers."""

    download_bytes: int
    score_memory_bytes: int
    quantize_memory_bytes: int
    results_bytes: int
    scored_tokens: int
    operations: float

    def hours(self, operations_per_second):
        """Expected hours at the rate of matrix products that the device was measured to reach."""
        return self.operations / (EFFICIENCY * operations_per_second) / 3600


def scored_tokens(config, row_tokens):
    """Predictions that a checkpoint's scores hold: its own and those of each quantized model."""
    return config.sampling.score.windows * (row_tokens - 1) * (1 + len(config.quantize_with))


def estimate(parameters, download_bytes, config, row_tokens, has_references=False):
    """The Cost of a checkpoint with the architecture's `parameters` (list of {name, shape, use}) under a Config.

    A reference beside each quantized model costs a second forward pass, and a second model in memory.

    A forward pass takes two operations for each weight of a matrix and token, embeddings apart, which are looked up.
    GPTQ passes the calibration windows about three times, adds the second moments, 2 width^2 a token and layer, and
    factorises them, about 2 width^3 a layer.
    """
    total = sum(_entries(p["shape"]) for p in parameters)
    active = sum(_entries(p["shape"]) for p in parameters if p["use"] in ("linear", "conv1d", "tied"))
    widths = [p["shape"][0] if p["use"] == "conv1d" else p["shape"][-1] for p in parameters if p["use"] in ("linear", "conv1d", "tied")]
    quantizers = [config.quantizers[name] for name in config.quantize_with]
    scored = scored_tokens(config, row_tokens)
    calibrated = config.sampling.calibration.windows * (row_tokens - 1)
    gptq = sum(quantizer.method != "rtn" for quantizer in quantizers)
    operations = 2 * active * (scored + has_references * scored * len(quantizers) / (1 + len(quantizers)))
    operations += gptq * (6 * active * calibrated + sum(2 * width**2 * calibrated + 2 * width**3 for width in widths))
    return Cost(
        download_bytes=download_bytes,
        score_memory_bytes=int((1 + has_references) * OVERHEAD * BYTES[config.scoring.dtype] * total),
        # weights in float32 and the largest second moments in float64, with their factors
        quantize_memory_bytes=int(OVERHEAD * 4 * total + 5 * 8 * max(widths) ** 2),
        # codes of one byte and decoded weights of four
        results_bytes=5 * total * len(quantizers),
        scored_tokens=scored,
        operations=float(operations),
    )


def _entries(shape):
    product = 1
    for length in shape:
        product *= length
    return product
