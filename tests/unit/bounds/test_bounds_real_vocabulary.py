"""The orderings of theory, section 12, on synthetic scores with the published moments at a real vocabulary.

V = 49,152, mean loss 1.89 with standard deviation 2.46, mean entropy 1.94, n = 20 N, code length b N, no quantization
loss. The scores are exponential around a Gamma-distributed entropy, scaled to the moments; what is compared is the order
of the bounds at each b, how they fall with b, and the table's values to 0.05 nats.
"""

import math

import numpy as np
import pytest

from scalebound.bounds import smoothing
from scalebound.bounds.azuma import azuma_bound
from scalebound.bounds.ceilings import EntropyCeilings, FreedmanCeilings, Grids
from scalebound.bounds.certificate import plug_in
from scalebound.bounds.complexity import alpha_grid
from scalebound.bounds.linearization import room_under
from scalebound.bounds.token_scores import TokenScores

V, LOSS, DEVIATION, ENTROPY = 49_152, 1.89, 2.46, 1.94
# b: gaps of Azuma, (F), (G), and the closed-form smoothing cost
TABLE = {4: (3.48, 2.13, 1.85, 1.92), 3: (3.04, 1.67, 1.50, 1.47), 2: (2.52, 1.19, 1.11, 1.01), 1.5: (2.20, 0.95, 0.90, 0.77), 1: (1.82, 0.69, 0.67, 0.53)}
GRIDS = Grids(alpha_points=25, s_points=200, floor_points=1, offset_points=31, slope_points=15)


def scores():
    """12,288 tokens in windows of 256. An exponential loss around an entropy H has E X^2 = 2 E H^2, which sets the Gamma's shape."""
    rng = np.random.default_rng(12)
    shape = 1 / ((LOSS**2 + DEVIATION**2) / (2 * LOSS**2) - 1)
    entropy = np.minimum(rng.gamma(shape, ENTROPY / shape, (48, 256)), math.log(V))
    nll = entropy * rng.exponential(1, entropy.shape)
    return TokenScores(nll * LOSS / nll.mean(), np.minimum(entropy * ENTROPY / entropy.mean(), math.log(V)), V)


@pytest.fixture(scope="module")
def gaps():
    sample, found = scores(), {}
    loss = sample.nll.mean()
    for b in TABLE:
        c = b * math.log(2) / 20
        alphas = alpha_grid(25, GRIDS.alpha_min, GRIDS.alpha_max)
        azuma = min(azuma_bound(sample.losses(a).mean(), smoothing.worst_case_loss(a, V), c) for a in alphas)
        freedman = FreedmanCeilings(GRIDS)
        shaped = min(room_under(freedman, {"alpha": a, "s": s}, sample).geometric(c) for a in alphas[8:] for s in np.linspace(0.3, 0.999, 15))
        values = (azuma, plug_in(freedman, sample, c)["value"], shaped, plug_in(EntropyCeilings(GRIDS), sample, c)["value"])
        found[b] = tuple(float(value - loss) for value in values)
    return found


@pytest.mark.parametrize("b", TABLE)
def test_azuma_freedman_and_both_geometric_forms_stand_in_this_order(gaps, b):
    azuma, freedman, shaped, geometric = gaps[b]
    assert azuma > freedman + 1 > shaped + 1 > geometric + 1


@pytest.mark.parametrize("b", TABLE)
def test_gaps_are_those_of_the_table(gaps, b):
    azuma, freedman, _, geometric = gaps[b]
    assert (azuma, freedman, geometric) == pytest.approx(TABLE[b][:3], abs=0.05)


@pytest.mark.parametrize("b", TABLE)
def test_the_closed_form_smoothing_cost_is_that_of_the_table(b):
    c = b * math.log(2) / 20
    assert c * math.log(V) + smoothing.smoothing_cost(c) == pytest.approx(TABLE[b][3], abs=0.005)


def test_what_the_theorem_gives_shrinks_with_the_code_length(gaps):
    """From an eighth at four bits to a twentieth at one; code length is the lever."""
    gains = [1 - gaps[b][3] / gaps[b][1] for b in TABLE]
    assert gains == sorted(gains, reverse=True)
    assert 0.10 < gains[0] < 0.17
    assert 0.02 < gains[-1] < 0.06
    assert gaps[1][1] < 0.35 * gaps[4][1]
