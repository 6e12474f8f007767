"""Which matrices the inputs of a pass are multiplied with, where no linear layer says so.

Fused experts, routers and gates are parameters that a module multiplies with in its own way: expert by expert, as a batch, or
as groups of sorted tokens. torch's dispatcher sees each of these products, and the address of an operand says of which parameter
it is a part: nothing about the module has to be known. A part that is copied before it is used is not recognised.
"""

from bisect import bisect_right
from dataclasses import dataclass

from torch.utils._python_dispatch import TorchDispatchMode

# products by their name in the dispatcher: places of the two factors among the arguments
_FACTORS = {
    "aten.mm.default": (0, 1),
    "aten.addmm.default": (1, 2),
    "aten.bmm.default": (0, 1),
    "aten.baddbmm.default": (1, 2),
    "aten._grouped_mm.default": (0, 1),
    "transformers.grouped_mm_fallback.default": (0, 1),
}


@dataclass(frozen=True)
class Part:
    """A matrix [outputs, inputs] that lies in the memory of a contiguous parameter: `offset` and `strides` in entries."""

    offset: int
    shape: tuple[int, int]
    strides: tuple[int, int]

    def of(self, tensor):
        """The same entries of another contiguous tensor with as many, as a view [outputs, inputs]."""
        return tensor.as_strided(self.shape, self.strides, tensor.storage_offset() + self.offset)


class Products(TorchDispatchMode):
    """While it is active: `moments`, {name: {Part: sum of x x^T, float64 [inputs, inputs]}} over all inputs x of each part of `parameters`.

    `parameters` is {name: tensor}; one that is not contiguous is not looked at.
    """

    def __init__(self, parameters):
        super().__init__()
        self.moments = {}
        self._places = sorted((p.data_ptr(), p.data_ptr() + p.nbytes, name) for name, p in parameters.items() if p.is_contiguous() and p.numel())

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        factors = _FACTORS.get(str(function))
        if factors is not None:
            left, right = (args[place] for place in factors)
            for x, matrix in _pairs(left, right, kwargs or {}, args) if self._owner(right) else ():
                self._add(x, matrix)
            # what stands left of its inputs, transposed
            for x, matrix in _pairs(right.mT, left.mT, {}, ()) if self._owner(left) else ():
                self._add(x, matrix)
        return result

    def _owner(self, tensor):
        """(name, address) of the parameter in whose memory a tensor begins, or None."""
        place = bisect_right(self._places, (tensor.data_ptr(), float("inf"))) - 1
        if place < 0 or tensor.data_ptr() >= self._places[place][1]:
            return None
        return self._places[place][2], self._places[place][0]

    def _add(self, inputs, matrix):
        """Count the product of `inputs` [n, k] and `matrix` [k, m], which is part of a parameter."""
        if not inputs.numel() or 0 in matrix.stride():
            return
        name, start = self._owner(matrix)
        part = Part((matrix.data_ptr() - start) // matrix.element_size(), tuple(matrix.shape[::-1]), matrix.stride()[::-1])
        x, found = inputs.detach().float(), self.moments.setdefault(name, {})
        product = x.T @ x
        found[part] = found[part].add_(product) if part in found else product.double()


def _pairs(left, right, named, given):
    """[(inputs [n, k], matrix [k, m])] of a product of matrices, of batches of them, or of rows that are grouped by matrix."""
    if right.ndim == 2:
        return [(left, right)] if left.ndim == 2 else []
    if left.ndim == 3:
        return list(zip(left.unbind(), right.unbind()))
    ends = (named["offs"] if "offs" in named else given[2]).tolist()
    return [(left[start:end], matrix) for start, end, matrix in zip([0, *ends], ends, right.unbind())]
