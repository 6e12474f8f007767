"""Quantization of every parameter of a causal language model, in place.

With a method that is calibrated, as GPTQ is, the order is: embeddings and 1-D parameters first, so that what comes after is calibrated on them; then,
block by block, the linear layers and the other matrices, fused experts among them; then those outside the blocks, with the output head. A matrix that
is both embedding and head is rounded against the head's inputs in the unquantized model. What nothing is multiplied with is rounded to nearest.
"""

from scalebound.models.blockwise import InMemory
from scalebound.progress import progress
from scalebound.quantization.calibration import moments_by_block, second_moments
from scalebound.quantization.workbench import Workbench
from scalebound.scoring.scoring import batch_windows


def quantize_model(model, parameters, settings, calibration, name="model", weights=None):
    """{parameter name: Quantized} for every parameter; the model then holds the dequantized weights.

    `parameters` is the architecture's list, `settings` a config.GridQuantizer, `calibration` integer windows
    [windows, length] that calibrated methods look at. `weights` is the model's blockwise.InMemory, where it is not plainly in memory.
    """
    weights = weights or InMemory(model)
    title = f"{settings.method} {settings.bits} bits {name} on {model.device.type}"
    with progress(len(parameters), "tensors", title) as bar:
        head = model.get_output_embeddings().weight
        bench = Workbench(weights, parameters, settings, next(key for key, weight in weights.parameters.items() if weight is head), bar)
        if bench.method.calibrated:
            _round_layers(model, bench, calibration)
        return bench.finish()


def _round_layers(model, bench, calibration):
    size = batch_windows(model, calibration.shape[1])
    tied = bench.names("tied")
    if tied:
        moments = second_moments(model, {"head": model.get_output_embeddings()}, calibration, size)
        for key in tied:
            bench.round_layer(key, moments["head"])
    for key in bench.names("embedding", "vector"):
        bench.round_to_nearest(key)
    for moments, parts in moments_by_block(model, bench.is_open, calibration, size, bench.weights):
        # a layer that no calibration token reached has no second moment and is left to `finish`
        for name in moments:
            bench.round_layer(f"{name}.weight", moments[name])
        for key, found in parts.items():
            bench.round_parts(key, found)


def gptq_share(done, parameters):
    """Share of the entries of `parameters` ({name, use}), embeddings and 1-D parameters left out, that GPTQ rounded.

    `done` is {name: an object with `entries` and `share`}. The paper's recipe is one where it is near 1: embeddings are looked up, nothing is
    multiplied with them, and GPTQ has nothing to say about them.
    """
    counted = [done[p["name"]] for p in parameters if p["use"] not in ("embedding", "vector")]
    return sum(q.entries * q.share for q in counted) / max(1, sum(q.entries for q in counted))
