"""Coverage where the true risk is known: Markov sources, predictors that are not the source, thousands of streams.

A bound holds when its violation rate over independent streams does not contradict `rate <= d`. Every source is judged
twice: the bound must pass, and the same bound with too small a C must fail, so that passing means something.

The tight sources make violations as frequent as the theorem allows. For (F) that is a rare large loss: the streams in
which it never happens have probability exp(-n q), and Markov's inequality is nearly an equality on them. For Azuma it
is a fair coin between two losses almost D apart.
"""

from collections import namedtuple

import numpy as np
import pytest
from scipy.linalg import hadamard
from sources import D, markov_chains, no_more_than_allowed

from scalebound.bounds import smoothing
from scalebound.bounds.azuma import azuma_bound
from scalebound.bounds.complexity import complexity, s_grid
from scalebound.bounds.freedman import freedman_bound
from scalebound.bounds.geometric import geometric_bound

ONE_S = np.array([0.99])

# of one draw: smoothed losses [n], references [n], worst-case loss, and the exact mean conditional risk
Draw = namedtuple("Draw", "losses reference worst risk")


def freedman_violated(draw, c, grid=ONE_S):
    with np.errstate(divide="ignore", invalid="ignore"):  # Sigma divides by sqrt(C), which the mutants make 0 or imaginary
        return draw.risk > freedman_bound(draw.losses, draw.reference, draw.worst, c, grid).value


def azuma_violated(draw, c):
    """A negative C stands for the bound with the sign of its complexity term flipped."""
    return draw.risk > azuma_bound(draw.losses.mean(), np.sign(c) * draw.worst, abs(c))


def markov_draws(transition, predictor, alpha, draws, n, seed):
    """`Draw`s of a fixed predictor of the next state, whose risk after each state the transition matrix gives exactly."""
    states = markov_chains(transition, draws, n, np.random.default_rng(seed))
    before, after = states[:, :-1], states[:, 1:]
    table = smoothing.smoothed_loss(-np.log(predictor), alpha, len(predictor))
    reference = smoothing.reference_loss(-(predictor * np.log(predictor)).sum(axis=1), alpha)
    risk = (transition * table).sum(axis=1)
    worst = smoothing.worst_case_loss(alpha, len(predictor))
    return [Draw(table[b, a], reference[b], worst, risk[b].mean()) for b, a in zip(before, after)]


@pytest.fixture(scope="module")
def four_states():
    """A sticky source of four states and a predictor that is wrong about it in every state."""
    transition = np.array([[0.7, 0.1, 0.1, 0.1], [0.2, 0.5, 0.2, 0.1], [0.05, 0.05, 0.6, 0.3], [0.4, 0.1, 0.1, 0.4]])
    predictor = np.array([[0.4, 0.3, 0.2, 0.1], [0.1, 0.8, 0.05, 0.05], [0.25, 0.25, 0.25, 0.25], [0.02, 0.08, 0.6, 0.3]])
    return markov_draws(transition, predictor, alpha=0.05, draws=3000, n=200, seed=1)


def test_chains_follow_their_transition_matrix():
    transition = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5], [0.3, 0.3, 0.4]])
    states = markov_chains(transition, 300, 300, np.random.default_rng(0))
    counts = np.zeros((3, 3))
    np.add.at(counts, (states[:, :-1], states[:, 1:]), 1)
    np.testing.assert_allclose(counts / counts.sum(axis=1, keepdims=True), transition, atol=0.01)


def test_the_risk_of_the_draws_is_the_mean_of_what_the_losses_average_to(four_states):
    # mean X - mean R is a mean of martingale differences: zero within five standard errors over 600,000 tokens
    excess = np.array([draw.losses.mean() - draw.risk for draw in four_states])
    assert abs(excess.mean()) < 5 * excess.std() / np.sqrt(len(excess))


def test_freedman_holds_on_a_markov_source(four_states):
    c = complexity(0, 200, D, 20)
    assert no_more_than_allowed([freedman_violated(draw, c, s_grid(20)) for draw in four_states])


@pytest.mark.parametrize("factor", [0.0, -1.0])
def test_freedman_without_or_against_its_complexity_fails_on_a_markov_source(four_states, factor):
    c = factor * complexity(0, 200, D, 20)
    assert not no_more_than_allowed([freedman_violated(draw, c, s_grid(20)) for draw in four_states])


def test_azuma_holds_on_a_markov_source(four_states):
    c = complexity(0, 200, D)
    assert no_more_than_allowed([azuma_violated(draw, c) for draw in four_states])


@pytest.mark.parametrize("factor", [0.0, -1.0])
def test_azuma_without_or_against_its_complexity_fails_on_a_markov_source(four_states, factor):
    c = factor * complexity(0, 200, D)
    assert not no_more_than_allowed([azuma_violated(draw, c) for draw in four_states])


def rare_loss_draws(price, draws, n=800):
    """A predictor sure of state 0, and a chain that leaves it so rarely that only a stream without a single visit elsewhere can violate (F).

    Without a visit, the risk is q D above the loss, and (F) at s adds C / s times D: it is violated when n q s exceeds
    n C. `price` is the n C that q is set just above of.
    """
    q = 1.02 * price / (n * ONE_S[0])
    transition = np.array([[1 - q, q], [0.5, 0.5]])
    predictor = np.array([[1 - 1e-9, 1e-9]] * 2)
    return markov_draws(transition, predictor, alpha=1e-6, draws=draws, n=n, seed=2)


def test_freedman_holds_and_is_nearly_tight_on_rare_losses():
    # a stream without a visit has probability exp(-1.02 log(1 / D) / 0.99) = 0.0457
    violated = [freedman_violated(draw, complexity(0, 800, D)) for draw in rare_loss_draws(np.log(1 / D), 6000)]
    assert no_more_than_allowed(violated)
    assert np.mean(violated) > 0.7 * D


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_freedman_at_a_share_of_its_complexity_fails_on_rare_losses(share):
    # violation probability about D ** share
    draws = rare_loss_draws(share * np.log(1 / D), 3000)
    assert no_more_than_allowed([freedman_violated(draw, complexity(0, 800, D)) for draw in draws])
    assert not no_more_than_allowed([freedman_violated(draw, share * complexity(0, 800, D)) for draw in draws])


def test_azuma_holds_on_coin_flips_and_fails_at_a_quarter_of_its_complexity():
    # two losses D apart: D sqrt(C / 2) is sqrt(2 log(1 / 0.05)) = 2.4 standard deviations of the mean, 1.2 at C / 4
    coin, sure = np.full((2, 2), 0.5), np.array([[1 - 1e-9, 1e-9], [1e-9, 1 - 1e-9]])
    draws = markov_draws(coin, sure, alpha=1e-6, draws=3000, n=400, seed=3)
    assert no_more_than_allowed([azuma_violated(draw, complexity(0, 400, D)) for draw in draws])
    assert not no_more_than_allowed([azuma_violated(draw, complexity(0, 400, D) / 4) for draw in draws])


BITS = 6  # 2^6 predictors, six bits to name one


def rare_tokens_draws(bits_paid, select=True, draws=3000, n=1000, alpha=1e-20):
    """The empirical best of 64 predictors, each sure that its own one of 64 rare tokens never comes.

    Predictor h spreads its probability over all 65 tokens but token h, which costs the worst case. Every predictor has
    the same risk, so the choice only picks the luckiest. The rare tokens have probability q each, just so large that a
    predictor whose token never comes violates (F) with `bits_paid` bits in C. The tiny alpha puts the worst case far
    above the other losses, where (F) is tight. Without `select` it is the predictor named first, whatever the stream.
    """
    rng, count = np.random.default_rng(4), 2**BITS
    worst = smoothing.worst_case_loss(alpha, count + 1)
    usual = smoothing.smoothed_loss(np.log(count), alpha, count + 1)
    reference = smoothing.reference_loss(np.log(count), alpha)
    q = 1.02 * complexity(bits_paid, n, D) * worst / ((worst - usual) * ONE_S[0])
    tokens = rng.choice(count + 1, size=(draws, n), p=[q] * count + [1 - count * q])
    made = []
    for stream in tokens:
        chosen = np.bincount(stream, minlength=count)[:count].argmin() if select else 0
        losses = np.where(stream == chosen, worst, usual)
        made.append(Draw(losses, np.full(n, reference), worst, usual + q * (worst - usual)))
    return made


@pytest.mark.parametrize("bits_paid", [0, BITS // 2, BITS])
def test_freedman_holds_for_a_selected_predictor_that_pays_its_bits(bits_paid):
    draws = rare_tokens_draws(bits_paid)
    assert no_more_than_allowed([freedman_violated(draw, complexity(BITS, 1000, D)) for draw in draws])


@pytest.mark.parametrize("bits_paid", [0, BITS // 2])
def test_freedman_fails_for_a_selected_predictor_that_pays_too_few_bits(bits_paid):
    draws = rare_tokens_draws(bits_paid)
    assert not no_more_than_allowed([freedman_violated(draw, complexity(bits_paid, 1000, D)) for draw in draws])


def test_freedman_holds_without_bits_for_a_predictor_named_in_advance():
    # on the very streams that defeat the selection: it is the choice that has to be paid for
    draws = rare_tokens_draws(0, select=False)
    assert no_more_than_allowed([freedman_violated(draw, complexity(0, 1000, D)) for draw in draws])


def halves_draws(draws=3000, n=400, alpha=1e-12):
    """The empirical best of 64 predictors, each sure of its own half of 128 equally likely tokens.

    The halves are Walsh functions, so the losses of any two predictors are independent, and every risk is the middle.
    """
    count = 2**BITS
    worst = smoothing.worst_case_loss(alpha, 2 * count)
    usual = smoothing.smoothed_loss(np.log(count), alpha, 2 * count)
    outside = hadamard(2 * count)[1 : count + 1] < 0
    made = []
    for stream in np.random.default_rng(6).integers(2 * count, size=(draws, n)):
        best = (outside @ np.bincount(stream, minlength=2 * count)).argmin()
        losses = np.where(outside[best, stream], worst, usual)
        made.append(Draw(losses, None, worst, (worst + usual) / 2))
    return made


@pytest.mark.parametrize(("bits_paid", "holds"), [(BITS, True), (0, False)])
def test_azuma_holds_for_a_selected_predictor_exactly_if_it_pays_its_bits(bits_paid, holds):
    violated = [azuma_violated(draw, complexity(bits_paid, 400, D)) for draw in halves_draws()]
    assert no_more_than_allowed(violated) == holds


def ceilings(draw, grid):
    """a = D + max(floor, offset + slope (Y - least Y)) for each point of a grid: Y is predictable, and so is the ceiling."""
    shifted = draw.reference - draw.reference.min()
    return [draw.worst + np.maximum(floor, offset + slope * shifted) for floor, offset, slope in grid]


def geometric_violated(draw, c, grid):
    return draw.risk > min(geometric_bound(ceiling, draw.losses, c) for ceiling in ceilings(draw, grid))


ONE_CEILING = [(1e-4, 0.0, 0.0)]
SIX_CEILINGS = [(0.01, offset, slope) for offset in (5.0, 60.0) for slope in (0.0, 1.0, 3.0)]


def hidden_markov_draws(draws, n, seed, alpha=0.05):
    """`Draw`s of a fixed bigram predictor on a source with a hidden state; the filter gives the risk exactly.

    The source switches between two habits that it rarely leaves, so that losses come in bursts and no window of the
    stream has the same mean as another.
    """
    rng = np.random.default_rng(seed)
    stay = np.array([[0.97, 0.03], [0.06, 0.94]])
    emit = np.array([[0.85, 0.1, 0.04, 0.01], [0.1, 0.2, 0.3, 0.4]])
    predictor = np.array([[0.8, 0.1, 0.05, 0.05], [0.5, 0.2, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25], [0.1, 0.1, 0.2, 0.6]])
    table = smoothing.smoothed_loss(-np.log(predictor), alpha, 4)
    references = smoothing.reference_loss(-(predictor * np.log(predictor)).sum(axis=1), alpha)
    hidden, before, belief = np.zeros(draws, dtype=int), np.zeros(draws, dtype=int), np.tile([1.0, 0.0], (draws, 1))
    losses, reference, risk = np.empty((3, draws, n))
    for k in range(n):
        expected = belief @ stay
        hidden = (rng.random(draws) > stay[hidden, 0]).astype(int)
        after = (rng.random(draws)[:, None] > np.cumsum(emit[hidden], axis=1)[:, :-1]).sum(axis=1)
        losses[:, k], reference[:, k] = table[before, after], references[before]
        risk[:, k] = ((expected @ emit) * table[before]).sum(axis=1)
        belief = expected * emit[:, after].T
        belief /= belief.sum(axis=1, keepdims=True)
        before = after
    worst = smoothing.worst_case_loss(alpha, 4)
    return [Draw(*rows, worst, mean) for *rows, mean in zip(losses, reference, risk.mean(axis=1))]


@pytest.fixture(scope="module")
def hidden_states():
    return hidden_markov_draws(draws=2000, n=200, seed=7)


def test_the_filter_gives_the_mean_of_the_losses(hidden_states):
    excess = np.array([draw.losses.mean() - draw.risk for draw in hidden_states])
    assert abs(excess.mean()) < 5 * excess.std() / np.sqrt(len(excess))


@pytest.mark.parametrize("source", ["four_states", "hidden_states"])
def test_geometric_and_freedman_hold_and_their_mutants_fail(source, request):
    draws = request.getfixturevalue(source)[:2000]
    c = complexity(0, 200, D, len(SIX_CEILINGS))
    assert no_more_than_allowed([geometric_violated(draw, c, SIX_CEILINGS) for draw in draws])
    assert no_more_than_allowed([freedman_violated(draw, c, s_grid(6)) for draw in draws])
    for factor in (0.0, -1.0):
        assert not no_more_than_allowed([geometric_violated(draw, factor * c, SIX_CEILINGS) for draw in draws[:500]])
        assert not no_more_than_allowed([freedman_violated(draw, factor * c, s_grid(6)) for draw in draws[:500]])


def test_geometric_holds_and_is_nearly_tight_on_rare_losses():
    violated = [geometric_violated(draw, complexity(0, 800, D), ONE_CEILING) for draw in rare_loss_draws(np.log(1 / D), 6000)]
    assert no_more_than_allowed(violated)
    assert np.mean(violated) > 0.7 * D


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_geometric_at_a_share_of_its_complexity_fails_on_rare_losses(share):
    draws = rare_loss_draws(share * np.log(1 / D), 3000)
    assert no_more_than_allowed([geometric_violated(draw, complexity(0, 800, D), ONE_CEILING) for draw in draws])
    assert not no_more_than_allowed([geometric_violated(draw, share * complexity(0, 800, D), ONE_CEILING) for draw in draws])


@pytest.mark.parametrize("bits_paid", [0, BITS // 2])
def test_geometric_holds_for_a_selected_predictor_exactly_if_it_pays_its_bits(bits_paid):
    draws = rare_tokens_draws(bits_paid)
    assert no_more_than_allowed([geometric_violated(draw, complexity(BITS, 1000, D), ONE_CEILING) for draw in draws])
    assert not no_more_than_allowed([geometric_violated(draw, complexity(bits_paid, 1000, D), ONE_CEILING) for draw in draws])


def test_a_ceiling_that_looks_at_the_token_is_no_bound(four_states):
    """Predictability is needed: a ceiling that rises with the loss itself clears the worst case, yet hides how losses vary."""
    c = complexity(0, 200, D)
    peeking = [draw.risk > geometric_bound(draw.worst + 0.1 + draw.losses, draw.losses, c) for draw in four_states[:1000]]
    assert not no_more_than_allowed(peeking)


def test_a_ceiling_below_the_worst_case_is_no_bound():
    """A ceiling that clears every loss seen, but not what could occur, fails on the streams without a rare loss."""
    draws = rare_loss_draws(np.log(1 / D) / 4, 3000)
    seen = [draw.risk > geometric_bound(min(draw.losses.max() + 0.1, draw.worst + 0.1), draw.losses, complexity(0, 800, D)) for draw in draws]
    assert not no_more_than_allowed(seen)
