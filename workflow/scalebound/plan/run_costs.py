"""What a checkpoint will cost before it is run: download, memory, tokens, floating-point operations, hours."""

from dataclasses import dataclass

BYTES = {"float32": 4, "bfloat16": 2}
# share of the matrix-product rate that forward passes of transformers reach
EFFICIENCY = 0.4
STORED_BYTES = 2  # of a parameter in the files of a released checkpoint
MOMENTS = 4  # matrices of the size of the largest second moment: itself, its factor in two steps, and those of the block's other layers
BLOCK = 5  # a decoder block's weights, in largest matrices of one
COPIES = 3  # of the largest matrix while it is rounded
# beside the weights: activations, statistics and fragments
OVERHEAD = 1.2


@dataclass(frozen=True)
class Cost:
    """Bytes, tokens and operations of one checkpoint with all its quantizers; `tuning_operations` are those in fp32 that coded quantizers take."""

    download_bytes: int
    score_memory_bytes: int
    quantize_memory_bytes: int
    results_bytes: int
    scored_tokens: int
    operations: float
    tuning_operations: float = 0.0

    def hours(self, operations_per_second, tuning_operations_per_second=None):
        """Expected hours at the rates of matrix products that the device was measured to reach, in the dtype of scoring and in fp32."""
        seconds = self.operations / operations_per_second + self.tuning_operations / (tuning_operations_per_second or operations_per_second)
        return seconds / EFFICIENCY / 3600

    def tuning_hours(self, operations_per_second):
        """Of these, what coded quantizers take."""
        return self.tuning_operations / operations_per_second / EFFICIENCY / 3600


@dataclass(frozen=True)
class Work:
    """What is done to a checkpoint: names of the quantizers it is run with, n, the predictions that it was trained on, and whether it is certified."""

    quantizers: list
    predictions: int
    certified: bool
    has_references: bool


def scored_tokens(config, row_tokens, work):
    """Predictions that a checkpoint's scores hold: its own, those of each quantized model, and of its certificate."""
    certified = config.sampling.certify.windows if work.certified else 0
    return (config.sampling.score.windows * (1 + len(work.quantizers)) + certified) * (row_tokens - 1)


def estimate(parameters, download_bytes, config, row_tokens, work):
    """The Cost of a checkpoint with the architecture's `parameters` (list of {name, shape, use}) under a Config; `work` is a Work.

    A reference beside each quantized model costs a second forward pass, and a second model in memory.

    A forward pass takes two operations for each weight of a matrix and token, embeddings apart, which are looked up.
    GPTQ passes the calibration windows about three times, adds the second moments, 2 width^2 a token and layer, and
    factorises them, about 2 width^3 a layer. A coded quantizer does that at each step offset, and scores the calibration windows
    with what came out; its sensitivities and its tuning pass windows forwards and back, six operations for each weight and token.
    """
    total = sum(_entries(p["shape"]) for p in parameters)
    active = sum(_entries(p["shape"]) for p in parameters if p["use"] in ("linear", "conv1d", "tied"))
    widths = [p["shape"][0] if p["use"] == "conv1d" else p["shape"][-1] for p in parameters if p["use"] in ("linear", "conv1d", "tied")]
    quantizers = [config.quantizers[name] for name in work.quantizers]
    coded = [quantizer for quantizer in quantizers if quantizer.method == "coded"]
    scored = scored_tokens(config, row_tokens, work)
    beside = scored - config.sampling.score.windows * (row_tokens - 1)
    calibrated = config.sampling.calibration.windows * (row_tokens - 1)
    rounding = 6 * active * calibrated + sum(2 * width**2 * calibrated + 2 * width**3 for width in widths)
    gptq = sum(quantizer.method in ("gptq", "incoherent") for quantizer in quantizers)
    return Cost(
        download_bytes=download_bytes,
        score_memory_bytes=int((1 + work.has_references) * OVERHEAD * BYTES[config.scoring.dtype] * total),
        quantize_memory_bytes=_quantize_memory(parameters, widths, coded, row_tokens, calibrated if gptq else 0),
        # codes of one byte and decoded weights of four
        results_bytes=5 * total * len(quantizers),
        scored_tokens=scored,
        operations=float(2 * active * (scored + work.has_references * beside) + gptq * rounding),
        tuning_operations=float(sum(_tuning(quantizer, active, rounding, calibrated, row_tokens - 1, work.predictions) for quantizer in coded)),
    )


def _tuning(quantizer, active, rounding, calibrated, window, predictions):
    rates, tuning = len(quantizer.step_offsets), quantizer.tuning
    tuned = tuning.steps(predictions, window) * tuning.batch_rows * window
    return rates * rounding + 2 * active * calibrated * (rates + 1) + 6 * active * (quantizer.sensitivity_windows * window + tuned)


def _quantize_memory(parameters, widths, coded, row_tokens, calibrated):
    """To round on a grid: the mapped files and codes of one byte; as float32 what lies around the decoder blocks, one block, and copies of the
    matrix that is rounded; second moments, and the calibration windows' states between two blocks.

    A coded quantizer holds all weights in float32; to tune, also latent weights, their codes, steps, scaled values, price, gradients and two
    moments, and logits with their gradients of a batch.
    """
    total, vocabulary = sum(_entries(p["shape"]) for p in parameters), max(p["shape"][0] for p in parameters)
    around = [_entries(p["shape"]) for p in parameters if vocabulary in p["shape"]]
    largest = max((_entries(p["shape"]) for p in parameters if vocabulary not in p["shape"]), default=0)
    moments, states = MOMENTS * 8 * max(widths) ** 2, 4 * calibrated * max(around) // vocabulary
    rounding = int(OVERHEAD * ((STORED_BYTES + 1) * total + 4 * (sum(around) + BLOCK * largest + COPIES * max(around))) + moments + states)
    if coded:
        rounding = max(rounding, int(OVERHEAD * 4 * total + moments))
    tuned = [quantizer for quantizer in coded if quantizer.tuning.share_of_training]
    tuning = [int(OVERHEAD * 4 * (12 * total + 4 * quantizer.tuning.batch_rows * row_tokens * vocabulary)) for quantizer in tuned]
    return max(rounding, *tuning) if tuning else rounding


def _entries(shape):
    product = 1
    for length in shape:
        product *= length
    return product
