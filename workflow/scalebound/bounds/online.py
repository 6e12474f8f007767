"""The online bound (D): a predictable reference pays for how unpredictable text is, only the difference to it pays for the code.

Theory, section 13. X are the losses of the decoded model h smoothed with a, Y those of a reference r smoothed with b, both on
the same token; r is predictable, fixed for all hypotheses, and needs no code: the model as it was before it saw the row. With
Z = X - Y, S = mean E[Y | past], m = max over all tokens of Z (predictable), and predictable ceilings A > D_b and b > m,

    S          <=  mean A - exp(mean log(A - Y) - C0)            for all points of the reference's grids,
    mean R - S <=  mean b - exp(mean log(b - Z) - C)             for all hypotheses and all points of the difference's grids,

each of them (G) for another martingale (`geometric`), the first with probability 1 - d0, the second with 1 - d1. Their sum is
(D). Neither needs the other's grids:

    C0 = log(|alphas| |reference levels| / d0) / n                       Y and A depend on a (through b = a / 2) and A's level
    C  = (L log 2 + log(|alphas| |floors| |levels| / d1)) / n            Z depends on a (and with it on b), its ceiling on t, floor

A choice among k references that looks at the data, training recipes included, puts log k into C0 *and* C: both martingales
change with r. A rule that is fixed in advance, such as the newest checkpoint before the row, is one reference and costs nothing.

Ceilings. A = D_b + level, constant: C0 is so small that A is hundreds of nats away and its shape hardly matters. b = max(m +
floor, t): predictable, since p and r are known before the token is, and above m by the floor.

Which tokens. n counts every token of the stream once, at the time when it was first predicted: a row that is read again has an
Y that is not predictable if r has seen it, and counting it twice would halve what the bound says of unseen text. The first
token of a row is only context; it is known when the second is predicted, whether or not the row overlaps another. Before the
first reference r is uniform and Y = log V.

With the uniform reference Y = S = log V, and the second half is (G) with the ceilings b + log V; the first half then adds
(1 - exp(-C0)) (A - log V), which a reference that is known to be constant does not need to pay.
"""

from dataclasses import dataclass, field

import numpy as np

from scalebound.bounds.complexity import alpha_grid, complexity
from scalebound.bounds.online_room import online_room
from scalebound.bounds.token_scores import mean_over
from scalebound.errors import InputError


@dataclass(frozen=True)
class OnlineGrids:
    """Sizes and ends of every grid, each geometrically spaced; floors and levels in nats, `reference` levels above D_b."""

    alpha_points: int = 4
    alpha_min: float = 0.01
    alpha_max: float = 0.08
    floor_points: int = 5
    floor_min: float = 0.01
    floor_max: float = 2.56
    level_points: int = 41
    level_min: float = 0.05
    level_max: float = 100.0
    reference_points: int = 13
    reference_min: float = 10.0
    reference_max: float = 1e5

    def __post_init__(self):
        names = ("alpha", "floor", "level", "reference")
        ends = [(getattr(self, f"{name}_min"), getattr(self, f"{name}_max")) for name in names]
        if not (all(0 < low <= high for low, high in ends) and self.alpha_max < 1) or min(getattr(self, f"{name}_points") for name in names) < 1:
            raise InputError("grids", str(self), "Every grid has at least one point, its smallest value above 0 and not above its largest; alpha is below 1")


@dataclass(frozen=True)
class OnlineCeilings:
    """The grids of (D) and what follows from a point of them, as the families of `ceilings`; weights and C are pairs (reference, difference)."""

    grids: OnlineGrids
    axes: dict = field(init=False)
    grids_kind = OnlineGrids
    complexity_names = ("C_reference", "C")
    weight_names = ("reference_weight", "weight")
    # the reference's tangent stays where it touches: its ceiling is far away, and its part of the range small
    free_weights = (0.0, 1.0)

    def __post_init__(self):
        g = self.grids
        axes = {
            "alpha": alpha_grid(g.alpha_points, g.alpha_min, g.alpha_max),
            "floor": np.geomspace(g.floor_min, g.floor_max, g.floor_points),
            "level": np.geomspace(g.level_min, g.level_max, g.level_points),
            "reference_level": np.geomspace(g.reference_min, g.reference_max, g.reference_points),
        }
        object.__setattr__(self, "axes", axes)

    def complexity(self, code_length_bits, tokens, failure_probability):
        """(C0, C), float64 [2], in nats per token; each half may fail with half of the probability."""
        sizes = {name: len(axis) for name, axis in self.axes.items()}
        half = failure_probability / 2
        reference = complexity(0, tokens, half, sizes["alpha"], sizes["reference_level"])
        return np.array([reference, complexity(code_length_bits, tokens, half, sizes["alpha"], sizes["floor"], sizes["level"])])

    def room(self, point, scores):
        return online_room(point, scores)

    def weight(self, room, point, c):
        """Of the tangents that touch (D) at the means over these windows; any others are as valid."""
        return room.touching_weight(c)

    def parts(self, point, scores, c):
        """`halves`, under that name."""
        return {"halves": halves(point, scores, c)}


def halves(point, scores, c):
    """What (D) consists of at one point, plug-in means over the windows of `scores`, as a JSON-able dict in nats per token.

    `reference_loss` is not smoothed, as training losses are not. `reference_bound` bounds S: as a statement about the changing
    model that is the online-to-batch bound; where (D) is not below it, the code has bought nothing.
    """
    room = online_room(point, scores)
    reference_loss, difference, second_moment, largest = mean_over(scores, lambda part: _token_means(point["alpha"], part))
    return {
        "reference_loss": float(reference_loss),
        "reference_smoothed_loss": float(room.reference.loss.mean()),
        "reference_bound": room.reference.geometric(c[0]),
        "difference": float(difference),
        "difference_bound": room.difference.geometric(c[1]),
        "difference_second_moment": float(second_moment),
        "mean_largest_difference": float(largest),
    }


def _token_means(alpha, scores):
    """float64 [4]: mean loss of the reference, not smoothed, mean Z and Z^2, and mean m."""
    differences = scores.differences(alpha)
    return np.array([scores.reference_nll.mean(), differences.mean(), np.mean(differences**2), scores.largest_differences(alpha).mean()])
