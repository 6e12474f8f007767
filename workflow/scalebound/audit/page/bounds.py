"""The bounds on the audit page: the table of a family, and for one quantized checkpoint every bound with its numbers put in."""

import math

import numpy as np
from markupsafe import Markup

from scalebound.artifacts.family_tables import RECIPE_SHARE
from scalebound.artifacts.scores import STAGES
from scalebound.audit.page import charts
from scalebound.audit.page.values import anchor, number, short, significant, whole
from scalebound.bounds import freedman, geometric, smoothing
from scalebound.bounds.azuma import azuma_bound
from scalebound.bounds.ceilings import Grids, family_of
from scalebound.bounds.complexity import complexity
from scalebound.bounds.decomposition import decompose

NAMES = {"paper": "paper’s bound (P)", "freedman": "Freedman, direct (F)", "geometric": "geometric-mean (G)", "azuma": "Azuma"}
SHORT = {"paper": "paper (P)", "freedman": "(F)", "geometric": "(G)", "azuma": "Azuma"}
LENGTHS = ("nominal", "coded")
PIECES = (
    (charts.GREY, "loss: R̂ in (P), mean X(α) in (F) and Azuma, R̂q in (G)"),
    (charts.BLUE, "price of the code length: C log V in (P), D C in (F), D√(C/2) in Azuma; all that is above the loss in (G)"),
    (charts.ORANGE, "loss variation: Σ√C"),
    (charts.SKY, "smoothing in (P)"),
    (charts.VERMILION, "quantization gap in (P); backwards if negative"),
)
TERMS = (
    ("train_loss", charts.GREY, "training loss of the unquantized model", "R̂"),
    ("parameters_per_token", charts.BLUE, "parameters per token", "C log V"),
    ("loss_variation", charts.ORANGE, "loss variation", "Σ√C"),
    ("smoothing", charts.SKY, "smoothing", "(1+C) log(1+C) − C log C"),
    ("quantization_gap", charts.VERMILION, "quantization gap", "R̂q − R̂"),
)
_GRIDS = {"paper": "|K|", "freedman": "|K||G|", "geometric": "|A|", "azuma": "|G|"}
_SYMBOLS = {
    "paper": "R̂ + C log V + Σ√C + (1+C) log(1+C) − C log C + (R̂q − R̂)",
    "freedman": "mean X(α) + D C + Σ√C,  D = log(V/α)",
    "geometric": "mean a − exp(mean log(a − X(α)) − C),  a = D + max(ε, t + κH),  D = log(V/α)",
    "azuma": "mean X(α) + D√(C/2),  D = log(V/α)",
}


def family_table(section, family):
    """The table of bounds of a family, grouped by checkpoint; every number leads to where it comes from."""
    table, groups = section.csv(f"{family}/bounds.csv"), []
    if table.empty:
        raise ValueError(f"{section.name(f'{family}/bounds.csv')}: no row in it")
    for slug, rows in table.groupby("checkpoint", sort=False):
        first = rows.iloc[0]
        here = anchor(family, slug)
        facts = [
            (f"{here}/resolve", short(first["n_params"]), "parameters"),
            (f"{here}/resolve", short(first["n_tokens"]), "tokens"),
            (f"{here}/score", number(first["train_loss"]), "nats training loss"),
            *((f"{here}/quantizers/{anchor(row['quantizer'])}", number(row["gptq_share"], 2), f"GPTQ share of {row['quantizer']}") for row in _partly(rows)),
        ]
        groups.append({"slug": slug, "anchor": here, "facts": facts, "rows": [_table_row(here, row, rows) for _, row in rows.iterrows()]})
    kinds = sorted(set(table["kind"]))
    return {"groups": groups, "kinds": kinds, "quantizers": max((len(group["rows"]) for group in groups), default=0)}


def _partly(rows):
    """Rows whose quantizer left more than a tenth of what layers multiply with to plain rounding, though it is no rounding to nearest."""
    return [row for _, row in rows.iterrows() if 0 < float(row["gptq_share"]) < RECIPE_SHARE]


def _table_row(here, row, rows):
    home = f"{here}/quantizers/{anchor(row['quantizer'])}"
    uniform = math.log(float(row["vocab_size"]))
    cells = [
        {"href": f"{home}/score", "value": number(row["quantized_loss"])},
        {"href": f"{home}/encode", "value": number(row["nominal_bits_per_param"], 2)},
        {"href": f"{home}/encode", "value": number(row["coded_bits_per_param"], 2)},
    ]
    for length, suffix in (("nominal", ""), ("coded", "_coded")):
        for name in NAMES:
            column = f"{name}_bound{suffix}"
            value, column_values = float(row[column]), set(map(float, rows[column]))
            least = len(column_values) > 1 and value == min(column_values)
            cells.append({"href": f"{home}/bound/{length}/{name}", "value": number(row[column]), "vacuous": value >= uniform, "least": least})
    return {"quantizer": row["quantizer"], "anchor": home, "cells": cells}


def bound(section, folder):
    """All bounds of bounds.json at both lengths, with a chart and the paper's terms."""
    data = section.json(f"{folder}/bound/bounds.json", "bound")
    uniform = math.log(data["vocab_size"])
    bars, rows = [], []
    for length in LENGTHS:
        for name in NAMES:
            value = data[length][name]
            bars.append((f"{SHORT[name]}, {length}", _pieces(name, value, data), value["bound"]))
            rows.append(_row(section.anchor, length, name, value, data))
    label = f"Stacked bars of the bounds in nats per token: {'; '.join(f'{name} {total:.3f}' for name, _, total in bars)}; log V is {uniform:.3f}"
    return {
        "kind": data["kind"],
        "why": f"Not a certificate: {data['why_estimate']}." if data["kind"] == "estimate" else "",
        "chart": charts.stacked_bars(bars, uniform, f"log V = {uniform:.3f}", label),
        "legend": PIECES,
        "uniform": number(uniform),
        "rows": rows,
        "terms": [_term(data, *term) for term in TERMS],
        "total": [number(data[length]["paper"]["bound"], 4) for length in LENGTHS],
        "sqrt": [number(data[length]["paper"]["bound_sqrt"], 4) for length in LENGTHS],
    }


def _pieces(name, value, data):
    if name == "paper":
        return [(colour, float(value["terms"][term])) for term, colour, _, _ in TERMS]
    if name == "geometric":
        return [(charts.GREY, data["quantized_loss"]), (charts.BLUE, value["bound"] - data["quantized_loss"])]
    worst = math.log(data["vocab_size"] / value["alpha"])
    price = worst * value["C"] if name == "freedman" else worst * math.sqrt(value["C"] / 2)
    variation = value["sigma"] * math.sqrt(value["C"]) if name == "freedman" else 0.0
    return [(charts.GREY, value["bound"] - price - variation), (charts.BLUE, price), (charts.ORANGE, variation)]


def _row(home, length, name, value, data):
    shown = value | value.get("point", {})
    return {
        "anchor": f"{home}/{length}/{name}",
        "length": length,
        "name": NAMES[name],
        "bound": number(value["bound"], 4),
        "above": number(value["bound"] - data["train_loss"], 3),
        "vacuous": value["bound"] >= math.log(data["vocab_size"]),
        "values": [significant(shown[key], 5) if key in shown else "" for key in ("C", "alpha", "s", "sigma")],
    }


def _term(data, key, colour, title, symbol):
    return {"colour": colour, "title": title, "symbol": symbol, "values": [number(data[length]["paper"]["terms"][key], 4) for length in LENGTHS]}


def formulas(section, checkpoint, folder):
    """The formulas with the numbers put in, computed again from the scores at the recorded alpha and s."""
    data = section.json(f"{folder}/bound/bounds.json", "bound")
    plain, _ = section.table(f"{checkpoint}/score/scores.parquet", "score")
    quantized, _ = section.table(f"{folder}/score/scores.parquet", STAGES)
    given = _Given(data, plain["nll"].to_numpy(), quantized["nll"].to_numpy(), quantized["entropy"].to_numpy())
    made = {"paper": given.paper, "freedman": given.freedman, "geometric": given.geometric, "azuma": given.azuma}
    return {"lengths": [{"name": length, "lines": [_formula(given, data[length], length, name, made[name]) for name in NAMES]} for length in LENGTHS]}


def _formula(given, recorded, length, name, make):
    c = given.c(recorded["code_length_bits"], name)
    value, numbers = make(c, recorded[name])
    return {
        "name": NAMES[name],
        "row": f"{length}/{name}",
        "c_symbols": f"(L log 2 + log({_GRIDS[name]}/δ)) / n",
        "c_numbers": given.c_numbers(recorded["code_length_bits"], name),
        "c": number(c, 5),
        "symbols": _SYMBOLS[name],
        "numbers": numbers,
        "value": number(value, 4),
        "recorded": number(recorded[name]["bound"], 4),
        "agrees": math.isclose(value, recorded[name]["bound"], rel_tol=1e-9) and math.isclose(c, recorded[name]["C"], rel_tol=1e-9),
    }


class _Given:
    """What the formulas are computed from; each returns its value and the numbers as they stand in it."""

    def __init__(self, data, plain, nll, entropy):
        self.nll, self.entropy = np.asarray(nll, np.float64), np.asarray(entropy, np.float64)
        self.train_loss, self.v, self.n = float(np.mean(plain, dtype=np.float64)), data["vocab_size"], data["n_tokens"]
        settings = data["identity"]["settings"]
        self.delta, s_points, alphas = settings["failure_probability"], settings["s_points"], settings["alpha_points"]
        self.family = family_of("geometric", Grids(**settings["ceilings"]))
        axes = tuple(len(axis) for axis in self.family.axes.values())
        self.grids = {"paper": (s_points,), "freedman": (s_points, alphas), "geometric": axes, "azuma": (alphas,)}

    def c(self, bits, name):
        return complexity(bits, self.n, self.delta, *self.grids[name])

    def c_numbers(self, bits, name):
        grids = Markup(" × ").join(whole(size) for size in self.grids[name])
        return Markup("({} × {} + log({} / {})) / {}").format(whole(bits), number(math.log(2), 5), grids, significant(self.delta), whole(self.n))

    def paper(self, c, value):
        sigma = self._sigma(c, value)
        terms = decompose(self.train_loss, self.nll.mean(), sigma, c, self.v)
        loss, gap = number(self.train_loss, 4), number(terms.quantization_gap, 4)
        shown = (loss, number(c, 5), number(math.log(self.v), 4), number(sigma, 4), number(c, 5), number(terms.smoothing, 4), gap)
        return terms.bound, Markup("{} + {} × {} + {} × √{} + {} + ({})").format(*shown)

    def freedman(self, c, value):
        mean, worst, sigma = self._mean(value), self._worst(value), self._sigma(c, value)
        numbers = (number(mean, 4), number(worst, 4), number(c, 5), number(sigma, 4), number(c, 5))
        return freedman.bound_from_variation(mean, worst, c, sigma), Markup("{} + {} × {} + {} × √{}").format(*numbers)

    def geometric(self, c, value):
        point = value["point"]
        ceilings = self.family.ceiling(np.clip(self.entropy, 0, math.log(self.v)), self.v, point)
        room = np.log(ceilings - smoothing.smoothed_loss(self.nll, point["alpha"], self.v))
        numbers = (number(ceilings.mean(), 4), number(room.mean(), 4), number(c, 5))
        where = tuple(significant(point[name], 4) for name in self.family.axes)
        shown = Markup("{} − exp({} − {}) at α = {}, ε = {}, t = {}, κ = {}").format(*numbers, *where)
        return float(geometric.from_means(ceilings.mean(), room.mean(), c)), shown

    def azuma(self, c, value):
        mean, worst = self._mean(value), self._worst(value)
        return azuma_bound(mean, worst, c), Markup("{} + {} × √({}/2)").format(number(mean, 4), number(worst, 4), number(c, 5))

    def _mean(self, value):
        return float(smoothing.smoothed_loss(self.nll, value["alpha"], self.v).mean())

    def _worst(self, value):
        return float(smoothing.worst_case_loss(value["alpha"], self.v))

    def _sigma(self, c, value):
        losses = smoothing.smoothed_loss(self.nll, value["alpha"], self.v)
        worst = self._worst(value)
        difference = freedman.scaled_difference(losses, smoothing.reference_loss(self.entropy, value["alpha"]), worst)
        return float(freedman.variation_at(value["s"], difference, worst, c))
