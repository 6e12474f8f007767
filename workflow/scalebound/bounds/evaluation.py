"""All bounds of one quantized checkpoint from its token scores: plug-in estimates, as in the paper.

The means over the whole training stream are replaced by means over a sample of windows, which no confidence bound
covers here; the results are therefore estimates, not certificates.
"""

from dataclasses import dataclass

import numpy as np

from scalebound.bounds import smoothing
from scalebound.bounds.azuma import azuma_bound
from scalebound.bounds.ceilings import Grids as CeilingGrids
from scalebound.bounds.ceilings import family_of
from scalebound.bounds.certificate import plug_in
from scalebound.bounds.complexity import alpha_grid, complexity, s_grid
from scalebound.bounds.decomposition import decompose
from scalebound.bounds.freedman import freedman_bound
from scalebound.bounds.online import halves
from scalebound.bounds.token_scores import TokenScores
from scalebound.errors import InputError


@dataclass(frozen=True)
class Problem:
    """What the bounds are computed from.

    nll, entropy: float64 [windows, positions] or [tokens], of the quantized model, nats. train_loss: mean nll of the unquantized model on the
    same tokens. tokens: n, predictions that the checkpoint was trained on.
    """

    nll: np.ndarray
    entropy: np.ndarray
    train_loss: float
    tokens: int
    vocab_size: int


def evaluate(problem, code_length_bits, settings):
    """Every bound at one code length, as a JSON-able dict; `settings` is a config.Bound.

    (P) uses the closed-form alpha, which the code length alone determines, so its C pays for the grid of s only; (F)
    and Azuma search the grid of alpha and pay for it, (G) the grids of its ceilings.

    Raises:
        InputError: a loss or entropy that is not finite.
    """
    # checked before smoothing, which makes an infinite loss finite
    if not (np.isfinite(problem.nll).all() and np.isfinite(problem.entropy).all() and np.isfinite(problem.train_loss)):
        raise InputError("scores", "a loss or entropy is NaN or infinite", "Score the checkpoint again")
    delta, s_values = settings.failure_probability, s_grid(settings.s_points)
    alphas = alpha_grid(settings.alpha_points, settings.alpha_min, settings.alpha_max)
    n, family = problem.tokens, family_of("geometric", CeilingGrids(**settings.ceilings.model_dump()))
    c_geometric = family.complexity(code_length_bits, n, delta)
    c_paper = complexity(code_length_bits, n, delta, settings.s_points)
    return {
        "code_length_bits": code_length_bits,
        "paper": paper_bound(problem, c_paper, s_values),
        "freedman": direct_bound(problem, complexity(code_length_bits, n, delta, settings.s_points, settings.alpha_points), s_values, alphas),
        "geometric": _geometric(problem, family, c_geometric),
        "azuma": _azuma(problem, complexity(code_length_bits, n, delta, settings.alpha_points), alphas),
    }


def evaluate_online(scores, tokens, code_length_bits, failure_probability, grids):
    """(D) at one code length, as a JSON-able dict: {bound, C_reference, C, point} and what its halves consist of (`online.halves`).

    `scores` are `OnlineScores`, `tokens` is n, the predictions of the rows that their windows were drawn from.
    """
    family = family_of("online", grids)
    c = family.complexity(code_length_bits, tokens, failure_probability)
    best = plug_in(family, scores, c)
    return {"bound": best["value"], **dict(zip(family.complexity_names, c.tolist())), "point": best["point"], **halves(best["point"], scores, c)}


def paper_bound(problem, c, s_values):
    """(P) with its terms, C, alpha and s, at the closed-form alpha of C, as a dict."""
    alpha = smoothing.closed_form_alpha(c)
    best = _freedman_at(problem, alpha, c, s_values)
    terms = decompose(problem.train_loss, problem.nll.mean(), best.sigma, c, problem.vocab_size)
    return {"bound": terms.bound, "bound_sqrt": terms.bound_sqrt, "C": c, "alpha": alpha, "s": best.s, "sigma": best.sigma, "terms": terms.as_dict()}


def direct_bound(problem, c, s_values, alphas):
    """The least (F) over smoothing weights that C pays for: {bound, C, alpha, s, sigma}."""
    results, start = [], 0
    for alpha in alphas:
        # the best s moves little from one alpha to the next
        results.append((_freedman_at(problem, alpha, c, s_values, start), alpha))
        start = int(np.searchsorted(s_values, results[-1][0].s))
    best, alpha = min(results, key=lambda result: result[0].value)
    return {"bound": best.value, "C": c, "alpha": float(alpha), "s": best.s, "sigma": best.sigma}


def _geometric(problem, family, c):
    scores = TokenScores(np.atleast_2d(problem.nll), np.atleast_2d(problem.entropy), problem.vocab_size)
    best = plug_in(family, scores, c)
    return {"bound": best["value"], "C": c, "point": best["point"]}


def _azuma(problem, c, alphas):
    v = problem.vocab_size
    values = [azuma_bound(smoothing.smoothed_loss(problem.nll, a, v).mean(), smoothing.worst_case_loss(a, v), c) for a in alphas]
    best = int(np.argmin(values))
    return {"bound": float(values[best]), "C": c, "alpha": float(alphas[best])}


def _freedman_at(problem, alpha, c, s_values, start=0):
    losses = smoothing.smoothed_loss(problem.nll, alpha, problem.vocab_size)
    reference = smoothing.reference_loss(problem.entropy, alpha)
    return freedman_bound(losses, reference, smoothing.worst_case_loss(alpha, problem.vocab_size), c, s_values, start)
