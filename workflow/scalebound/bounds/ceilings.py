"""Families of ceilings for (G), each over grids that are fixed before any data is seen and that C pays for.

A family names its grids in `axes`. At one point of them it gives, for entropies H in [0, log V], the ceiling of each
token: predictable, above D_a, and not decreasing in H, so that its range is its values at H = 0 and H = log V. The family
of `online` bounds a loss and a difference by ceilings of their own; its rooms, weights and C have two parts each.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from scalebound.bounds.complexity import alpha_grid, complexity, s_grid
from scalebound.bounds.linearization import room_under
from scalebound.bounds.online import OnlineCeilings
from scalebound.bounds.smoothing import reference_loss, worst_case_loss
from scalebound.errors import InputError


@dataclass(frozen=True)
class Grids:
    """Sizes and ends of every grid; offsets and floors are nats above the worst-case loss, slopes nats per nat of entropy."""

    alpha_points: int = 40
    alpha_min: float = 0.002
    alpha_max: float = 0.5
    s_points: int = 1000
    floor_points: int = 9
    floor_min: float = 0.01
    floor_max: float = 2.56
    offset_points: int = 49
    offset_min: float = -12.0
    offset_max: float = 60.0
    slope_points: int = 21
    slope_max: float = 5.0

    def __post_init__(self):
        ordered = 0 < self.alpha_min <= self.alpha_max < 1 and 0 < self.floor_min <= self.floor_max
        if not (ordered and self.offset_min <= self.offset_max and self.slope_max >= 0):
            raise InputError("grids", str(self), "0 < alpha < 1, floors above 0, slopes not negative, and each smallest value below the largest")
        if min(self.alpha_points, self.s_points, self.floor_points, self.offset_points, self.slope_points) < 1:
            raise InputError("grids", str(self), "Every grid has at least one point")


def offset_grid(points, smallest, largest):
    """float64 [points], evenly spaced in arsinh: fine around 0, geometric far from it."""
    return np.sinh(np.linspace(math.asinh(smallest), math.asinh(largest), points))


class OneRoom:
    """What the families with one room have in common; weight and C are numbers."""

    grids_kind = Grids
    complexity_names, weight_names = ("C",), ("weight",)

    def complexity(self, code_length_bits, tokens, failure_probability):
        """C in nats per token, every axis paid for."""
        return complexity(code_length_bits, tokens, failure_probability, *(len(axis) for axis in self.axes.values()))

    def room(self, point, scores):
        return room_under(self, point, scores)

    def weight(self, room, point, c):
        """Of the tangent that touches (G) at the means over these windows; any other is as valid."""
        return room.touching_weight(c)

    def parts(self, point, scores, c):
        """What a certificate says of the parts of its bound, by name: nothing more than its terms."""
        return {}


@dataclass(frozen=True)
class EntropyCeilings(OneRoom):
    """a = D_a + max(floor, offset + slope H), the family of theory, section 3, with t = D_a + offset and eps = floor.

    The floor keeps a above D_a. A larger one than validity needs costs a little of (G) and narrows the range that the
    subsampling step has to pay for.
    """

    grids: Grids
    axes: dict = field(init=False)
    free_weights = 1.0

    def __post_init__(self):
        g = self.grids
        axes = {
            "alpha": alpha_grid(g.alpha_points, g.alpha_min, g.alpha_max),
            "floor": np.geomspace(g.floor_min, g.floor_max, g.floor_points),
            "offset": offset_grid(g.offset_points, g.offset_min, g.offset_max),
            "slope": np.linspace(g.slope_max, 0, g.slope_points)[::-1],
        }
        object.__setattr__(self, "axes", axes)

    def ceiling(self, entropy, vocab_size, point):
        return worst_case_loss(point["alpha"], vocab_size) + np.maximum(point["floor"], point["offset"] + point["slope"] * entropy)


@dataclass(frozen=True)
class FreedmanCeilings(OneRoom):
    """a = Y + D_a / s: the Freedman bound (F) is the tangent of (G) at weight D_a / s."""

    grids: Grids
    axes: dict = field(init=False)
    free_weights = 0.0

    def __post_init__(self):
        g = self.grids
        object.__setattr__(self, "axes", {"alpha": alpha_grid(g.alpha_points, g.alpha_min, g.alpha_max), "s": s_grid(g.s_points)})

    def ceiling(self, entropy, vocab_size, point):
        return reference_loss(entropy, point["alpha"]) + worst_case_loss(point["alpha"], vocab_size) / point["s"]

    def weight(self, room, point, c):
        """D_a / s, which makes the tangent (F)."""
        return room.losses[1] / point["s"]


FAMILIES = {"geometric": EntropyCeilings, "freedman": FreedmanCeilings, "online": OnlineCeilings}


def grids_of(method, values):
    """The grids of a method from {setting: value}; those that are not given have their defaults. Raises InputError for an unknown method or setting."""
    kind = _family(method).grids_kind
    try:
        return kind(**values)
    except TypeError as error:
        raise InputError("grids", f"{sorted(values)}: {error}", f"The settings of {kind.__name__} are {', '.join(kind.__dataclass_fields__)}") from None


def family_of(method, grids):
    """The family behind a method. Raises InputError for a method that is not one of FAMILIES, or grids that are those of another."""
    family = _family(method)
    if not isinstance(grids, family.grids_kind):
        raise InputError("grids", f"{type(grids).__name__} for method {method}", f"Its grids are {family.grids_kind.__name__}")
    return family(grids)


def _family(method):
    if method not in FAMILIES:
        raise InputError("method", repr(method), f"One of {', '.join(FAMILIES)}")
    return FAMILIES[method]
