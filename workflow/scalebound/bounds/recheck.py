"""A certificate recomputed from its scores and its stated choices, by other code than the one that made it.

Only numpy is imported: nothing here is shared with the modules that made the certificate, so that a defect in one of
them shows as a disagreement. What is taken from the certificate is what had to be chosen (grids, grid point, weight,
bet) and what was given (V, n, L, probabilities); every number that follows from these is computed again.
"""

import numpy as np

TOLERANCE = 1e-9


def disagreements(nll, entropy, certificate, tolerance=TOLERANCE):
    """[(name, stated, recomputed)] of all that is not as stated, empty for a sound certificate.

    Numbers agree within `tolerance` relative to max(1, their size). Where a condition is broken (a grid point off its
    grid, say), its name says which, and nothing is recomputed.
    """
    return compared(certificate, broken_conditions(certificate), lambda: recompute(nll, entropy, certificate), tolerance)


def compared(certificate, broken, recomputed, tolerance):
    """`disagreements` from a list of broken conditions [(name, stated)] and, where there are none, the values that `recomputed()` gives."""
    if broken:
        return [(name, stated, None) for name, stated in broken]
    found = []
    for name, value in recomputed().items():
        stated = _at(certificate, name)
        # written so that NaN fails it
        if not (isinstance(stated, int | float) and abs(stated - value) <= tolerance * max(1.0, abs(value))):
            found.append((name, stated, value))
    return found


def recompute(nll, entropy, certificate):
    """{dotted name: value} of every number that follows from [windows, positions] scores and the certificate's choices."""
    nll, entropy = np.asarray(nll, dtype=float), np.clip(np.asarray(entropy, dtype=float), 0.0, np.log(certificate["vocab_size"]))
    settings, choice = certificate["settings"], certificate["choice"]
    windows, positions = nll.shape
    pilot = max(2, int(np.floor(settings["pilot_share"] * windows)))
    c = _complexity(certificate)
    weight, delta = choice["weight"], settings["draw_failure_probability"]
    token_loss, token_room, value, low, high = _tokens(nll[pilot:], entropy[pilot:], certificate)
    constant = -weight * (1.0 - np.log(weight) - c)
    per_window = value.mean(axis=1)
    bounds = {name: bound + constant for name, bound in confidence_bounds(per_window, low, high, choice["bet_ceiling"], delta).items()}
    mean_bound, loss, smoothed = per_window.mean() + constant, nll[pilot:].mean(), token_loss.mean()
    exact = mean_bound if settings["method"] == "freedman" else (token_loss + token_room).mean() - np.exp(np.log(token_room).mean() - c)
    return {
        "C": c,
        "value": bounds[settings["confidence"]],
        **{f"values.{name}": bound for name, bound in bounds.items()},
        "terms.loss": loss,
        "terms.smoothing": smoothed - loss,
        "terms.generalization": exact - smoothed,
        "terms.linearization": mean_bound - exact,
        "terms.sampling": bounds[settings["confidence"]] - mean_bound,
        "range.low": low,
        "range.high": high,
        "estimate.same_choice": mean_bound,
        "estimate.best.value": _plug_in(nll, entropy, certificate, c),
        "windows.pilot": pilot,
        "windows.rest": windows - pilot,
        "windows.positions": positions,
        **{f"grid_sizes.{name}": len(grid) for name, grid in _grids(settings).items()},
    }


def broken_conditions(certificate):
    """[(what is wrong, stated)]: grid points off their grids, a bet without cover, odd probabilities, a weight or kind that cannot be."""
    settings, choice = certificate["settings"], certificate["choice"]
    grids = _grids(settings)
    found = []
    for source, point in (("choice", choice["point"]), ("estimate.best", certificate["estimate"]["best"]["point"])):
        if set(point) != set(grids):
            return [(f"{source}: axes of the point", sorted(point))]
        found += [(f"{source}: {name} is not on its grid", x) for name, x in point.items() if not on_grid(grids[name], x)]
    span = certificate["range"]["high"] - certificate["range"]["low"]
    probabilities = (settings["stream_failure_probability"], settings["draw_failure_probability"])
    checks = [
        ("the bet's ceiling is not above the range", choice["bet_ceiling"], choice["bet_ceiling"] > span),
        ("the weight is not positive", choice["weight"], choice["weight"] > 0),
        ("failure probabilities are not in (0, 1)", probabilities, all(0 < p < 1 for p in probabilities)),
        ("the smallest floor is not above 0", settings["grids"]["floor_min"], settings["grids"]["floor_min"] > 0),
        ("kind", certificate["kind"], certificate["kind"] == "certificate"),
        ("fewer than two windows to bound the mean on", certificate["windows"]["rest"], certificate["windows"]["rest"] >= 2),
    ]
    if settings["method"] == "freedman":
        point = choice["point"]
        weight = np.log(certificate["vocab_size"] / point["alpha"]) / point["s"]
        checks.append(("the weight is not D / s", choice["weight"], abs(choice["weight"] - weight) <= TOLERANCE * weight))
    return found + [(name, stated) for name, stated, holds in checks if not holds]


def _at(certificate, dotted):
    value = certificate
    for key in dotted.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _complexity(certificate):
    settings = certificate["settings"]
    searched = sum(np.log(len(grid)) for grid in _grids(settings).values())
    return (certificate["code_length_bits"] * np.log(2.0) + searched + np.log(1.0 / settings["stream_failure_probability"])) / certificate["tokens"]


def _grids(settings):
    """The grids that C has to pay for, written out from their settings."""
    g = settings["grids"]
    grids = {"alpha": geometric_points(g["alpha_points"], g["alpha_min"], g["alpha_max"])}
    if settings["method"] == "freedman":
        return {**grids, "s": [(i + 1) / (g["s_points"] + 1) for i in range(g["s_points"])]}
    ends = np.arcsinh(g["offset_min"]), np.arcsinh(g["offset_max"])
    return {
        **grids,
        "floor": geometric_points(g["floor_points"], g["floor_min"], g["floor_max"]),
        "offset": [np.sinh(x) for x in _even(g["offset_points"], *ends)],
        "slope": _even(g["slope_points"], g["slope_max"], 0.0),
    }


def _even(points, first, last):
    return [first + (last - first) * i / max(1, points - 1) for i in range(points)]


def geometric_points(points, first, last):
    if not (first > 0 and last > 0):
        return [np.nan] * points  # no such grid, so that no point is on it
    return [first * (last / first) ** (i / max(1, points - 1)) for i in range(points)]


def on_grid(grid, x):
    return min(abs(x - y) for y in grid) <= 1e-9 * max(1.0, abs(x))


def _ceiling(point, method, entropy, vocab_size):
    worst = np.log(vocab_size) - np.log(point["alpha"])
    if method == "freedman":
        return entropy - np.log(1.0 - point["alpha"]) + worst / point["s"]
    sloped = worst + point["offset"] + point["slope"] * entropy
    return np.where(sloped > worst + point["floor"], sloped, worst + point["floor"])


def smoothed(alpha, nll, vocab_size):
    return -np.log((1.0 - alpha) * np.exp(-nll) + alpha / vocab_size)


def _tokens(nll, entropy, certificate):
    """Token losses, rooms and values of the rest, and the range of the values by trying the corners that can be extreme."""
    method, vocab_size = certificate["settings"]["method"], certificate["vocab_size"]
    point, weight = certificate["choice"]["point"], certificate["choice"]["weight"]
    loss = smoothed(point["alpha"], nll, vocab_size)
    ceiling = _ceiling(point, method, entropy, vocab_size)
    least, worst = smoothed(point["alpha"], 0.0, vocab_size), np.log(vocab_size / point["alpha"])
    ends = [_ceiling(point, method, h, vocab_size) for h in (0.0, np.log(vocab_size))]
    high = max(end - weight * np.log(end - worst) for end in ends)
    # the value is convex in the ceiling: its least is at an end, or where the derivative vanishes if that lies between
    candidates = ends + [least + weight] * bool(ends[0] < least + weight < ends[1])
    low = min(x - weight * np.log(x - least) for x in candidates)
    return loss, ceiling - loss, ceiling - weight * np.log(ceiling - loss), low, high


def confidence_bounds(values, low, high, bet_ceiling, delta):
    m, width = len(values), high - low
    mean, variance = values.mean(), ((values - values.mean()) ** 2).sum() / (m - 1)
    with np.errstate(invalid="ignore", divide="ignore"):  # a false statement may leave no room: NaN, which is a disagreement
        capital = np.log(low + bet_ceiling - values).sum() + np.log(delta)
    bernstein = np.sqrt(2.0 * variance * np.log(2.0 / delta) / m) + 7.0 * width * np.log(2.0 / delta) / (3.0 * (m - 1))
    return {
        "betting": low + bet_ceiling - np.exp(capital / m),
        "empirical_bernstein": mean + bernstein,
        "hoeffding": mean + width * np.sqrt(-np.log(delta) / (2.0 * m)),
    }


def _plug_in(nll, entropy, certificate, c):
    """The estimate at its stated point, over all windows."""
    method, vocab_size, point = certificate["settings"]["method"], certificate["vocab_size"], certificate["estimate"]["best"]["point"]
    loss, ceiling = smoothed(point["alpha"], nll, vocab_size), _ceiling(point, method, entropy, vocab_size)
    if method == "freedman":
        scale = np.log(vocab_size / point["alpha"]) / point["s"]
        reference = ceiling - scale
        return (reference - scale * np.log(1.0 + (reference - loss) / scale)).mean() + scale * c
    return ceiling.mean() - np.exp(np.log(ceiling - loss).mean() - c)
