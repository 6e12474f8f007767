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
from scalebound.bounds.freedman import Freedman, bound_at, freedman_bound, scaled_difference, variation_at
from scalebound.bounds.online import halves
from scalebound.bounds.token_scores import WindowScores, mean_loss, mean_over
from scalebound.errors import InputError


@dataclass(frozen=True)
class Problem:
    """What the bounds are computed from.

    scores: `TokenScores` of the quantized model, or such scores in parts. train_loss: mean loss of the unquantized model on the
    same tokens, nats. tokens: n, predictions that the checkpoint was trained on.
    """

    scores: WindowScores
    train_loss: float
    tokens: int

    @property
    def vocab_size(self):
        return self.scores.vocab_size


def evaluate(problem, code_length_bits, settings):
    """Every bound at one code length, as a JSON-able dict; `settings` is a config.Bound.

    (P) uses the closed-form alpha, which the code length alone determines, so its C pays for the grid of s only; (F)
    and Azuma search the grid of alpha and pay for it, (G) the grids of its ceilings.

    Raises:
        InputError: a training loss that is not finite.
    """
    if not np.isfinite(problem.train_loss):
        raise InputError("scores", f"a training loss of {problem.train_loss}", "Score the checkpoint again")
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
    best = _over_all(problem.scores, _search(problem.scores.held(), alpha, c, s_values), alpha, c)
    terms = decompose(problem.train_loss, mean_loss(problem.scores), best.sigma, c, problem.vocab_size)
    return {"bound": terms.bound, "bound_sqrt": terms.bound_sqrt, "C": c, "alpha": alpha, "s": best.s, "sigma": best.sigma, "terms": terms.as_dict()}


def direct_bound(problem, c, s_values, alphas):
    """The least (F) over smoothing weights that C pays for: {bound, C, alpha, s, sigma}."""
    results, start = [], 0
    for alpha in alphas:
        # the best s moves little from one alpha to the next
        results.append((_search(problem.scores.held(), alpha, c, s_values, start), alpha))
        start = int(np.searchsorted(s_values, results[-1][0].s))
    best, alpha = min(results, key=lambda result: result[0].value)
    best = _over_all(problem.scores, best, alpha, c)
    return {"bound": best.value, "C": c, "alpha": float(alpha), "s": best.s, "sigma": best.sigma}


def _geometric(problem, family, c):
    best = plug_in(family, problem.scores, c)
    return {"bound": best["value"], "C": c, "point": best["point"]}


def _azuma(problem, c, alphas):
    def value(scores, alpha):
        return azuma_bound(mean_over(scores, lambda part: part.losses(alpha).mean()), smoothing.worst_case_loss(alpha, scores.vocab_size), c)

    alpha = min(alphas, key=lambda alpha: value(problem.scores.held(), alpha))
    return {"bound": float(value(problem.scores, alpha)), "C": c, "alpha": float(alpha)}


def _search(scores, alpha, c, s_values, start=0):
    """The least (F) over s of scores in memory, as `Freedman`."""
    reference = smoothing.reference_loss(scores.entropy, alpha)
    return freedman_bound(scores.losses(alpha), reference, smoothing.worst_case_loss(alpha, scores.vocab_size), c, s_values, start)


def _over_all(scores, found, alpha, c):
    """`Freedman` over all windows at the s that a search on held ones ended at; (F) and Sigma are affine in means over tokens."""
    if scores.held() is scores:
        return found
    worst = smoothing.worst_case_loss(alpha, scores.vocab_size)

    def of(part):
        reference = smoothing.reference_loss(part.entropy, alpha)
        difference = scaled_difference(part.losses(alpha), reference, worst)
        return np.array([bound_at(found.s, difference, reference.mean(), worst, c), variation_at(found.s, difference, worst, c)])

    value, sigma = mean_over(scores, of)
    return Freedman(float(value), found.s, float(sigma))
