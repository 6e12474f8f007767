"""Coverage of the subsampling step and of whole certificates, where populations and risks are known; mutants must fail.

The subsampling step is judged on fixed finite populations of windows: with probability 1 - d2 over the draw, the
certificate is at least (G) at the chosen point with means over the whole population. Rare windows in which every token
is the worst make violations as frequent as the theorem allows.
"""

import functools
import math

import numpy as np
import pytest
from sources import D, no_more_than_allowed

from scalebound.bounds import smoothing
from scalebound.bounds.ceilings import EntropyCeilings, Grids
from scalebound.bounds.certificate import CertificateSettings, certify, choose, split, upper_bounds
from scalebound.bounds.linearization import room_under
from scalebound.bounds.token_scores import TokenScores

V, POSITIONS, WINDOWS, PILOT_SHARE = 16, 4, 100, 0.2
REST = WINDOWS - int(PILOT_SHARE * WINDOWS)
GRIDS = Grids(alpha_points=2, alpha_min=0.05, alpha_max=0.2, floor_points=1, floor_min=1.0, floor_max=1.0, offset_points=2, offset_min=-2, slope_points=2)
FAMILY = EntropyCeilings(GRIDS)
C = 0.05


def settings_with(d2=D, d1=D, grids=GRIDS):
    return CertificateSettings(stream_failure_probability=d1, draw_failure_probability=d2, pilot_share=PILOT_SHARE, grids=grids)


def varied_windows(count, rng):
    """TokenScores of windows that differ in difficulty."""
    entropy = np.minimum(rng.gamma(4, 0.25, (count, 1)) * rng.gamma(2, 0.5, (count, POSITIONS)), math.log(V))
    return TokenScores(entropy * rng.exponential(1, (count, POSITIONS)), entropy, V)


def rare_windows(count, share_of_cost):
    """Easy windows, and a few where every token is the worst: a rest misses them all with probability D ** share_of_cost."""
    nll, entropy = np.full((2, count, POSITIONS), 0.05)
    nll[: round(1.04 * share_of_cost * math.log(1 / D) / REST * count)] = 1e4
    return TokenScores(nll, entropy, V)


def certified(sample, settings=None):
    """({bound: value}, the bounded mean, grid point) of the subsampling step for one draw."""
    settings = settings or settings_with()
    pilot, rest = split(sample, PILOT_SHARE)
    chosen = choose(FAMILY, pilot, C, len(rest), settings)
    bounded = room_under(FAMILY, chosen["point"], rest).linearized(chosen["weight"], C)
    return upper_bounds(bounded, chosen["bet_ceiling"], settings.draw_failure_probability), bounded, chosen["point"]


def truth(population):
    """(G) with means over the population, at any point of the grids."""
    return functools.cache(lambda point: room_under(FAMILY, dict(point), population).geometric(C))


def draws_of(population, draws, seed, windows=WINDOWS):
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        yield population.of(rng.integers(len(population), size=windows))


def violations(population, draws, seed, settings=None):
    at = truth(population)
    found = {"betting": [], "empirical_bernstein": [], "hoeffding": [], "mean": []}
    for sample in draws_of(population, draws, seed):
        values, bounded, point = certified(sample, settings)
        for name, value in {**values, "mean": bounded.values.mean() + bounded.constant}.items():
            found[name].append(value < at(tuple(point.items())))
    return found


def test_the_sampling_step_holds_on_a_finite_population_and_the_bare_mean_fails():
    found = violations(varied_windows(3000, np.random.default_rng(1)), 400, seed=2)
    for name in ("betting", "empirical_bernstein", "hoeffding"):
        assert no_more_than_allowed(found[name]), name
    assert not no_more_than_allowed(found["mean"])


def test_the_sampling_step_holds_on_rare_windows_and_at_half_its_cost_fails():
    half = settings_with(d2=math.sqrt(D))
    assert no_more_than_allowed(violations(rare_windows(3000, 1.0), 500, seed=3)["betting"])
    assert no_more_than_allowed(violations(rare_windows(3000, 0.5), 300, seed=4)["betting"])
    assert not no_more_than_allowed(violations(rare_windows(3000, 0.5), 300, seed=4, settings=half)["betting"])


HYPOTHESES = 32


def unlucky_windows(rng, count=3000):
    """bool [HYPOTHESES, count]: the windows on which each hypothesis is at its worst, as many for each of them."""
    bad = round(1.3 * math.log(1 / D) / REST * count)
    return np.stack([np.isin(np.arange(count), rng.permutation(count)[:bad]) for _ in range(HYPOTHESES)])


@pytest.mark.parametrize(("chosen_on", "holds"), [("a draw of its own", True), ("the rest", False)])
def test_a_hypothesis_may_be_chosen_on_another_draw_but_not_on_the_rest(chosen_on, holds):
    """All hypotheses have one population mean, so that choosing only finds the luckiest."""
    rng = np.random.default_rng(5)
    unlucky = unlucky_windows(rng)
    populations = [TokenScores(np.where(bad[:, None], 1e4, np.full((len(bad), POSITIONS), 0.05)), np.full((len(bad), POSITIONS), 0.05), V) for bad in unlucky]
    at, violated = truth(populations[0]), []
    for _ in range(200):
        drawn, other = rng.integers(len(unlucky[0]), size=(2, WINDOWS))
        looked_at = other if holds else drawn[-REST:]
        best = unlucky[:, looked_at].sum(axis=1).argmin()
        values, _, point = certified(populations[best].of(drawn))
        violated.append(values["betting"] < at(tuple(point.items())))
    assert no_more_than_allowed(violated) == holds


TRANSITION = np.array([[0.9, 0.05, 0.03, 0.02], [0.2, 0.6, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1], [0.3, 0.1, 0.1, 0.5]])
PREDICTOR = np.array([[0.7, 0.1, 0.1, 0.1], [0.3, 0.4, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25], [0.1, 0.1, 0.3, 0.5]])
STREAM_WINDOWS, LENGTH = 150, 4


def markov_stream(rng):
    """(states before, states after), both [windows, positions], of one stream."""
    states, ahead = [0], np.cumsum(TRANSITION, axis=1)
    for u in rng.random(STREAM_WINDOWS * LENGTH):
        states.append(int(np.searchsorted(ahead[states[-1]], u)))
    states = np.array(states)
    return states[:-1].reshape(STREAM_WINDOWS, LENGTH), states[1:].reshape(STREAM_WINDOWS, LENGTH)


def excess_of_certificates(draws, seed, grids=GRIDS):
    """[draws, 2]: the certificate, with and without its sampling term, minus the exact mean R of the smoothed predictor."""
    rng, settings = np.random.default_rng(seed), settings_with(d1=D / 2, d2=D / 2, grids=grids)
    entropies = -(PREDICTOR * np.log(PREDICTOR)).sum(axis=1)
    rows = []
    for _ in range(draws):
        before, after = markov_stream(rng)
        drawn = rng.integers(STREAM_WINDOWS, size=WINDOWS)
        found = certify(-np.log(PREDICTOR[before, after])[drawn], entropies[before][drawn], 4, before.size, 0, settings)
        table = smoothing.smoothed_loss(-np.log(PREDICTOR), found["choice"]["point"]["alpha"], 4)
        risk = (TRANSITION * table).sum(axis=1)[before].mean()
        rows.append((found["value"] - risk, found["value"] - found["terms"]["sampling"] - risk))
    return np.array(rows)


def test_whole_certificates_hold_on_a_markov_stream():
    assert no_more_than_allowed(excess_of_certificates(300, seed=7)[:, 0] < 0)


def test_whole_certificates_without_complexity_and_sampling_fail(monkeypatch):
    monkeypatch.setattr(EntropyCeilings, "complexity", lambda *_: 0.0)
    wide = Grids(alpha_points=2, alpha_min=0.05, alpha_max=0.2, floor_points=1, offset_points=3, offset_min=20, offset_max=60, slope_points=1)
    assert not no_more_than_allowed(excess_of_certificates(300, seed=8, grids=wide)[:, 1] < 0)
