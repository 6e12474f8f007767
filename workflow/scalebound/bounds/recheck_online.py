"""A certificate of (D) recomputed from the columns of `online_scores`, as `recheck` does it for (G) and (F), and with nothing but its parts.

The range is found in other ways than where it was made: the largest value among all corners of the domain, the least by
narrowing the interval that holds the minimum of a convex function.
"""

import numpy as np

from scalebound.bounds.recheck import TOLERANCE, compared, confidence_bounds, geometric_points, on_grid, smoothed

ROUNDING = 1e-4  # nats that fp32 may have taken off a largest difference
NARROWINGS = 200


def disagreements(nll, reference_nll, largest, certificate, tolerance=TOLERANCE):
    """`recheck.disagreements` for losses [windows, positions] and largest differences, one such array for each alpha of the grid."""
    nll, reference_nll, *largest = (np.asarray(column, dtype=float) for column in (nll, reference_nll, *largest))
    broken = broken_conditions(certificate) or broken_columns(nll, reference_nll, largest, certificate)
    return compared(certificate, broken, lambda: recompute(nll, reference_nll, largest, certificate), tolerance)


def broken_conditions(certificate):
    """[(what is wrong, stated)]: points off their grids, a bet without cover, odd probabilities, weights or a kind that cannot be."""
    settings, choice, grids = certificate["settings"], certificate["choice"], _grids(certificate["settings"])
    found = []
    for source, point in (("choice", choice["point"]), ("estimate.best", certificate["estimate"]["best"]["point"])):
        if set(point) != set(grids):
            return [(f"{source}: axes of the point", sorted(point))]
        found += [(f"{source}: {name} is not on its grid", x) for name, x in point.items() if not on_grid(grids[name], x)]
    span = certificate["range"]["high"] - certificate["range"]["low"]
    checks = [
        ("the bet's ceiling is not above the range", choice["bet_ceiling"], choice["bet_ceiling"] > span),
        ("a weight is not positive", (choice["reference_weight"], choice["weight"]), min(choice["reference_weight"], choice["weight"]) > 0),
        ("failure probabilities are not in (0, 1)", settings, all(0 < settings[f"{x}_failure_probability"] < 1 for x in ("stream", "draw"))),
        ("a floor or level is not above 0", settings["grids"], min(settings["grids"][f"{x}_min"] for x in ("floor", "level", "reference")) > 0),
        ("kind", certificate["kind"], certificate["kind"] == "certificate"),
        ("method", settings["method"], settings["method"] == "online"),
        ("fewer than two windows to bound the mean on", certificate["windows"]["rest"], certificate["windows"]["rest"] >= 2),
    ]
    return found + [(name, stated) for name, stated, holds in checks if not holds]


def broken_columns(nll, reference_nll, largest, certificate):
    """[(what is wrong, value)] of columns that cannot be scores: a largest difference must not lie below one that occurred."""
    alphas, vocab_size = _grids(certificate["settings"])["alpha"], certificate["vocab_size"]
    if len(largest) != len(alphas):
        return [("columns of largest differences", len(largest))]
    found = [("a loss is negative", x.min()) for x in (nll, reference_nll) if not x.min() >= 0]
    for alpha, column in zip(alphas, largest):
        difference = smoothed(alpha, nll, vocab_size) - smoothed(alpha / 2.0, reference_nll, vocab_size)
        # written so that NaN fails it
        if not (difference <= column + ROUNDING).all():
            found.append((f"a difference is above the largest at alpha {alpha:g}", float(np.max(difference - column))))
    return found


def recompute(nll, reference_nll, largest, certificate):
    """{dotted name: value} of every number that follows from the columns and the certificate's choices."""
    settings, choice, grids = certificate["settings"], certificate["choice"], _grids(certificate["settings"])
    windows, positions = nll.shape
    pilot = max(2, int(np.floor(settings["pilot_share"] * windows)))
    c0, c = _complexities(certificate, grids)
    w0, w1, delta = choice["reference_weight"], choice["weight"], settings["draw_failure_probability"]
    rest = _tokens(nll[pilot:], reference_nll[pilot:], [column[pilot:] for column in largest], certificate, choice["point"])
    y, top, z, ceiling, m = rest
    per_window = (top - w0 * np.log(top - y) + ceiling - w1 * np.log(ceiling - z)).mean(axis=1)
    low, high = _range(certificate, choice["point"], w0, w1)
    constant = -w0 * (1.0 - np.log(w0) - c0) - w1 * (1.0 - np.log(w1) - c)
    bounds = {name: bound + constant for name, bound in confidence_bounds(per_window, low, high, choice["bet_ceiling"], delta).items()}
    mean_bound, loss, smoothed_mean = per_window.mean() + constant, nll[pilot:].mean(), (y + z).mean()
    reference_bound, difference_bound = _geometric(y, top, c0), _geometric(z, ceiling, c)
    exact = reference_bound + difference_bound
    best = _tokens(nll, reference_nll, largest, certificate, certificate["estimate"]["best"]["point"])
    return {
        "C": c,
        "C_reference": c0,
        "value": bounds[settings["confidence"]],
        **{f"values.{name}": bound for name, bound in bounds.items()},
        "terms.loss": loss,
        "terms.smoothing": smoothed_mean - loss,
        "terms.generalization": exact - smoothed_mean,
        "terms.linearization": mean_bound - exact,
        "terms.sampling": bounds[settings["confidence"]] - mean_bound,
        "halves.reference_loss": reference_nll[pilot:].mean(),
        "halves.reference_smoothed_loss": y.mean(),
        "halves.reference_bound": reference_bound,
        "halves.difference": z.mean(),
        "halves.difference_bound": difference_bound,
        "halves.difference_second_moment": (z * z).mean(),
        "halves.mean_largest_difference": m.mean(),
        "range.low": low,
        "range.high": high,
        "estimate.same_choice": mean_bound,
        "estimate.best.value": _geometric(best[0], best[1], c0) + _geometric(best[2], best[3], c),
        "windows.pilot": pilot,
        "windows.rest": windows - pilot,
        "windows.positions": positions,
        **{f"grid_sizes.{name}": len(grid) for name, grid in grids.items()},
    }


def _grids(settings):
    """The grids that C and C0 have to pay for, written out from their settings."""
    g = settings["grids"]
    axes = {"alpha": "alpha", "floor": "floor", "level": "level", "reference_level": "reference"}
    return {axis: geometric_points(*(g[f"{name}_{end}"] for end in ("points", "min", "max"))) for axis, name in axes.items()}


def _complexities(certificate, grids):
    """(C0, C): half of the stream's failure probability each, the grids that its half depends on."""
    n, failure = certificate["tokens"], np.log(2.0) - np.log(certificate["settings"]["stream_failure_probability"])
    size = {name: np.log(len(grid)) for name, grid in grids.items()}
    reference = (size["alpha"] + size["reference_level"] + failure) / n
    return reference, (certificate["code_length_bits"] * np.log(2.0) + size["alpha"] + size["floor"] + size["level"] + failure) / n


def _ends(certificate, alpha):
    """(least, largest) loss that smoothing with alpha leaves possible."""
    v = certificate["vocab_size"]
    return -np.log(1.0 - alpha + alpha / v), np.log(v) - np.log(alpha)


def _tokens(nll, reference_nll, largest, certificate, point):
    """(Y, its ceiling, Z, its ceiling, m) at a point, for each token."""
    v, alpha = certificate["vocab_size"], point["alpha"]
    nearest = int(np.argmin([abs(alpha - x) for x in _grids(certificate["settings"])["alpha"]]))
    reference_least, reference_worst = _ends(certificate, alpha / 2.0)
    y = smoothed(alpha / 2.0, reference_nll, v)
    m = np.minimum(np.maximum(largest[nearest] + ROUNDING, 0.0), _ends(certificate, alpha)[1] - reference_least)
    ceiling = np.where(m + point["floor"] > point["level"], m + point["floor"], point["level"])
    return y, reference_worst + point["reference_level"], smoothed(alpha, nll, v) - y, ceiling, m


def _geometric(values, ceiling, c):
    return np.mean(ceiling) - np.exp(np.log(ceiling - values).mean() - c)


def _range(certificate, point, w0, w1):
    """(least, largest) value of a token over all X, Y and ceilings of Z that can be."""
    (x0, x1), (y0, y1) = _ends(certificate, point["alpha"]), _ends(certificate, point["alpha"] / 2.0)
    top, floor = y1 + point["reference_level"], point["floor"]
    lower, upper = max(point["level"], floor), max(point["level"], x1 - y0 + floor)

    def value(x, y, b):
        return top - w0 * np.log(top - y) + b - w1 * np.log(b - (x - y))

    # where the two lower limits of b meet, an edge of the domain crosses its faces
    crossing = lower - floor
    places = [(x, y) for x in (x0, x1) for y in (y0, y1)]
    places += [(x, x - crossing) for x in (x0, x1) if y0 <= x - crossing <= y1] + [(y + crossing, y) for y in (y0, y1) if x0 <= y + crossing <= x1]
    high = max(value(x, y, b) for x, y in places for b in (max(lower, x - y + floor), upper))

    def least(y):
        return value(x0, y, min(max(x0 - y + w1, lower, x0 - y + floor), upper))

    left, right = y0, y1
    for _ in range(NARROWINGS):
        a, b = left + (right - left) / 3.0, right - (right - left) / 3.0
        left, right = (left, b) if least(a) <= least(b) else (a, right)
    return min(least(left), least(right), least(y0), least(y1)), high
