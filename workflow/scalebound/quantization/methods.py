"""The methods of quantizers on fixed grids, by the name that `method` has in the configuration.

A method says how the matrix of a linear layer is rounded. Matrices that belong to no linear layer, as fused experts and routers, are
rounded by GPTQ where the method is calibrated; what nothing is multiplied with (embeddings, 1-D parameters, what no calibration
token reached) is rounded to nearest, whatever the method. To add one: a function here with its line in METHODS, and the model of
its settings in config.py; config/README.md has the steps.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from scalebound.quantization import gptq, rotation, rtn
from scalebound.quantization.integers import IntegerTensor, to_matrix

LAYER_USES = ("linear", "conv1d", "tied")


@dataclass(frozen=True)
class Rounded:
    """The integers of one matrix, by which method, the damping that it took (escalated when above the settings'), and the share of
    the entries that were rounded against a second moment."""

    tensor: IntegerTensor
    method: str
    damping: float | None = None
    escalated: bool = False
    share: float = 0.0


@dataclass(frozen=True)
class Method:
    """`round(matrix, moment, is_head, settings)` gives the Rounded of a matrix [rows, columns] (torch, outputs by inputs).

    `moment` [columns, columns] is the sum of x x^T over the layer's inputs on the calibration windows; None for a method
    that is not `calibrated`. `is_head`: whether the matrix is the output head, with a row for each token of the vocabulary;
    `settings` is the quantizer's section.
    """

    round: Callable
    calibrated: bool


def to_nearest(matrix, moment, is_head, settings):
    return Rounded(rtn.quantize(matrix, settings.bits, settings.group), "rtn")


def by_gptq(matrix, moment, is_head, settings):
    return _by_gptq(gptq.quantize(matrix, moment, settings.bits, settings.group, settings.damping))


def by_parts(weight, use, moments, settings):
    """GPTQ of each part of a parameter that a second moment is known of, {products.Part: moment}; in its own basis, whatever the method."""
    if not moments:
        return to_nearest(to_matrix(weight, use), None, False, settings)
    return _by_gptq(gptq.quantize_parts(weight, use, moments, settings.bits, settings.group, settings.damping))


def _by_gptq(result):
    return Rounded(result.tensor, "gptq" if result.share else "rtn", result.damping, result.escalated, result.share)


def incoherent(matrix, moment, is_head, settings):
    """GPTQ, which is LDLQ, of U W V^T against V H V^T: QuIP's rounding, on the grids that GPTQ has.

    The loss that both minimise, tr(D H D^T) of the rounding's errors D, is the same in every orthogonal basis. The output
    head, which the papers leave as it is, keeps its own: its rows, one a token, differ much more in size than those of other
    layers, and mixed they would all take one scale.
    """
    if is_head:
        return by_gptq(matrix, moment, is_head, settings)
    turned = torch.from_numpy(rotation.rotate(matrix.cpu().double().numpy(), settings.seed))
    moment = torch.from_numpy(rotation.rotate_moment(moment.cpu().double().numpy(), settings.seed))
    # the types that GPTQ has without a rotation
    result = by_gptq(turned.to(matrix), moment.to(matrix.device), is_head, settings)
    return replace(result, tensor=replace(result.tensor, seed=settings.seed), method="incoherent")


METHODS = {
    "rtn": Method(to_nearest, calibrated=False),
    "gptq": Method(by_gptq, calibrated=True),
    "incoherent": Method(incoherent, calibrated=True),
}
