"""The paper's bound with one choice changed at a time: what each of its constants is worth, in nats per token.

Everything is an estimate, as in `evaluation`: means over a sample of windows. Each row says what was changed, to what, and
the bound; `low` and `high` are there where it was drawn repeatedly.
"""

from dataclasses import dataclass

import numpy as np

from scalebound.bounds import smoothing
from scalebound.bounds.complexity import alpha_grid, complexity, s_grid
from scalebound.bounds.evaluation import Problem, direct_bound, paper_bound
from scalebound.bounds.freedman import freedman_bound
from scalebound.bounds.token_scores import TokenScores


@dataclass(frozen=True)
class Case:
    """One checkpoint: losses and entropies float64 [windows, positions] in nats of the decoded model, `plain` losses of the
    unquantized one, and the expected losses at the closed-form smoothing weight (see `reference_losses`)."""

    nll: np.ndarray
    entropy: np.ndarray
    plain: np.ndarray
    under_model: np.ndarray
    under_smoothed: np.ndarray
    tokens: int
    vocab_size: int
    code_length_bits: float


def ablate(case, bound, settings):
    """All rows of one checkpoint as dicts; `bound` is a config.Bound, `settings` a study_settings.Ablations."""
    return [
        *_grids_of_s(case, bound, settings),
        *_references(case, bound, settings),
        *_smoothing_weights(case, bound, settings),
        *_failure_probabilities(case, bound, settings),
        *_sample_sizes(case, bound, settings),
    ]


def _grids_of_s(case, bound, settings):
    """|K|: more values of s find a lower minimum and cost log |K| / n."""
    for points in settings.s_points:
        yield _row("s_points", f"{points}", points, *_paper(case, bound.failure_probability, points))


def _failure_probabilities(case, bound, settings):
    for probability in settings.failure_probabilities:
        yield _row("failure_probability", f"{probability:g}", probability, *_paper(case, probability, bound.s_points))


def _references(case, bound, settings):
    """Y: what losses are compared with. All are predictable; a constant that is chosen from a grid pays for the grid."""
    c = complexity(case.code_length_bits, case.tokens, bound.failure_probability, bound.s_points)
    alpha = smoothing.closed_form_alpha(c)
    choices = {
        "entropy - log(1 - a)": smoothing.reference_loss(case.entropy, alpha),
        "mean under the model": case.under_model,
        "mean under the smoothed model": case.under_smoothed,
    }
    for name, reference in choices.items():
        yield _row("reference", name, None, _direct(case, alpha, c, bound.s_points, reference), c)
    constants = np.linspace(0, np.log(case.vocab_size), settings.constants)
    paid = complexity(case.code_length_bits, case.tokens, bound.failure_probability, bound.s_points, settings.constants)
    values = [_direct(case, alpha, paid, bound.s_points, np.full_like(case.nll, constant)) for constant in constants]
    best = int(np.argmin(values))
    yield _row("reference", f"constant, best of {settings.constants}", float(constants[best]), values[best], paid)


def _smoothing_weights(case, bound, settings):
    """a: the closed form follows from the code length and costs nothing, a grid is searched and paid for."""
    c = complexity(case.code_length_bits, case.tokens, bound.failure_probability, bound.s_points)
    alpha = smoothing.closed_form_alpha(c)
    values_of_s, problem = s_grid(bound.s_points), _problem(case)
    yield _row("alpha", "closed form", float(alpha), direct_bound(problem, c, values_of_s, [alpha])["bound"], c)
    for points in settings.alpha_points:
        paid = complexity(case.code_length_bits, case.tokens, bound.failure_probability, bound.s_points, points)
        best = direct_bound(problem, paid, values_of_s, alpha_grid(points, bound.alpha_min, bound.alpha_max))
        yield _row("alpha", f"grid of {points}", best["alpha"], best["bound"], paid)


def _sample_sizes(case, bound, settings):
    """m: how much the plug-in estimate moves with the windows that were drawn; the whole sample is the last row."""
    random, count = np.random.default_rng(settings.seed), len(case.nll)
    sizes = [m for m in settings.windows if m < count]
    for size in sizes:
        chosen = [random.choice(count, size, replace=False) for _ in range(settings.repeats)]
        values = np.array([_paper(case, bound.failure_probability, bound.s_points, part)[0] for part in chosen])
        c = complexity(case.code_length_bits, case.tokens, bound.failure_probability, bound.s_points)
        low, high = np.percentile(values, [2.5, 97.5])
        yield _row("windows", f"{size}", size, float(values.mean()), c) | {"low": float(low), "high": float(high)}
    yield _row("windows", f"{count}", count, *_paper(case, bound.failure_probability, bound.s_points))


def _paper(case, failure_probability, s_points, windows=slice(None)):
    """((P), C) on some of the windows."""
    c = complexity(case.code_length_bits, case.tokens, failure_probability, s_points)
    return paper_bound(_problem(case, windows), c, s_grid(s_points))["bound"], c


def _problem(case, windows=slice(None)):
    scores = TokenScores(case.nll[windows], case.entropy[windows], case.vocab_size)
    return Problem(scores, float(case.plain[windows].mean()), case.tokens)


def _direct(case, alpha, c, s_points, reference):
    """(F) at one smoothing weight, with a reference of any kind."""
    losses = smoothing.smoothed_loss(case.nll, alpha, case.vocab_size)
    return freedman_bound(losses, reference, smoothing.worst_case_loss(alpha, case.vocab_size), c, s_grid(s_points)).value


def _row(ablation, setting, x, value, c):
    return {"ablation": ablation, "setting": setting, "x": x, "bound": float(value), "C": float(c), "low": None, "high": None}
