"""Quantization of every parameter of a causal language model, in place.

With a method that is calibrated, as GPTQ is, the order is: embeddings and 1-D parameters first, so that what comes after is calibrated on them; then the
linear layers block by block; then those outside the blocks, the output head among them. A matrix that is both embedding
and head is rounded against the head's inputs in the unquantized model. What no linear layer covers is rounded to nearest.
"""

from scalebound.progress import progress
from scalebound.quantization.calibration import layer_groups, second_moments
from scalebound.quantization.workbench import Workbench
from scalebound.scoring.scoring import batch_windows


def quantize_model(model, parameters, settings, calibration, name="model"):
    """{parameter name: Quantized} for every parameter; the model then holds the dequantized weights.

    `parameters` is the architecture's list, `settings` a config.GridQuantizer, `calibration` integer windows
    [windows, length] that calibrated methods look at.
    """
    title = f"{settings.method} {settings.bits} bits {name} on {model.device.type}"
    with progress(len(parameters), "tensors", title) as bar:
        weights, head = dict(model.named_parameters()), model.get_output_embeddings().weight
        bench = Workbench(weights, parameters, settings, next(key for key, weight in weights.items() if weight is head), bar)
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
    for key in bench.names("embedding", "vector", "other"):
        bench.round_to_nearest(key)
    for block, layers in layer_groups(model):
        layers = {name: layer for name, layer in layers.items() if bench.is_open(f"{name}.weight")}
        if layers:
            moments = second_moments(model, layers, calibration, size, stop_after=block)
            # a layer that no calibration token reached has no second moment and is left to `finish`
            for name in moments:
                bench.round_layer(f"{name}.weight", moments[name])
