"""Charts of the audit page as inline SVG; their numbers are also in a table or a caption beside them."""

import math

import numpy as np
from markupsafe import Markup

# Okabe and Ito's palette, as in figures/style.py (which imports matplotlib, and this page needs none)
ORANGE, SKY, VERMILION, BLUE, GREY = "#E69F00", "#56B4E9", "#D55E00", "#0072B2", "#8A8A8A"
WIDTH = 430  # of every chart, in units of the viewBox: small enough that its text can be read on a phone
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 14, 36


def stacked_bars(rows, limit, limit_label, label):
    """Horizontal bars [(name, [(colour, value)], total)] on one scale, with a dashed line at `limit`.

    A negative piece is drawn backwards from where the pieces before it end.
    """
    left, right, step, top = 110, 44, 24, 24
    height = top + step * len(rows) + 30
    reach = max([limit, *(_extent(pieces) for _, pieces, _ in rows)])
    scale = _Scale((0, reach), (left, WIDTH - right))
    parts = [_line(scale(tick), top - 4, scale(tick), height - 26, "grid") for tick in _ticks(0, reach)]
    parts += [_text(scale(tick), height - 12, f"{tick:g}", "middle") for tick in _ticks(0, reach)]
    for i, (name, pieces, total) in enumerate(rows):
        parts += _bar(pieces, scale, top + i * step, step - 7)
        parts += [_text(left - 6, top + i * step + 13, name, "end"), _text(scale(_extent(pieces)) + 4, top + i * step + 13, f"{total:.2f}")]
    parts += [_line(scale(limit), top - 8, scale(limit), height - 26, "mark"), _text(scale(limit), 11, limit_label, "middle")]
    return _svg(height, label, parts)


def histogram(edges, series, axis, label, unit="%"):
    """Steps of one or more series [(shares, colour, filled)] over common bin edges."""
    height = 190
    top = max(float(np.max(values)) for values, _, _ in series) * 1.05 or 1.0
    x, y = _Scale((edges[0], edges[-1]), (_LEFT, WIDTH - _RIGHT)), _Scale((0, top), (height - _BOTTOM, _TOP))
    parts = _frame(x, y, height, axis, unit)
    for values, colour, filled in series:
        points = [f"M{x(edges[0]):.1f} {y(0):.1f}"]
        points += [f"V{y(value):.1f}H{x(edge):.1f}" for value, edge in zip(values, edges[1:])]
        paint = f'fill="{colour}" stroke="none"' if filled else f'fill="none" stroke="{colour}" stroke-width="1.6"'
        parts.append(Markup(f'<path d="{"".join(points)}V{y(0):.1f}" {paint}/>'))
    return _svg(height, label, parts)


def counts(edges, values, expected, axis, label):
    """Bars of counts with a dashed line where all bars would end if every row were drawn equally often."""
    height = 170
    x = _Scale((edges[0], edges[-1]), (_LEFT, WIDTH - _RIGHT))
    y = _Scale((0, max(float(np.max(values)), expected) * 1.1), (height - _BOTTOM, _TOP))
    parts = _frame(x, y, height, axis, "windows", smallest=1)
    for value, low, high in zip(values, edges, edges[1:]):
        parts.append(_rect(x(low) + 0.5, y(value), max(x(high) - x(low) - 1, 0.5), y(0) - y(value), SKY))
    parts.append(_line(_LEFT, y(expected), WIDTH - _RIGHT, y(expected), "mark"))
    return _svg(height, label, parts)


def curve(steps, losses, at_step, at_loss, label):
    """A training loss over a logarithmic axis of steps, with the checkpoint as a dashed line and its sampled loss as a dot."""
    height = 210
    low, high = float(min(*losses, at_loss)), float(max(*losses, at_loss))
    pad = 0.06 * (high - low or 1.0)
    x = _Scale((0, math.log10(max(float(steps[-1]), 10.0))), (_LEFT, WIDTH - _RIGHT))
    y = _Scale((low - pad, high + pad), (height - _BOTTOM, _TOP))
    parts = _frame(x, y, height, "step", "nats", x_ticks=[(k, f"{10**k:,}") for k in range(int(x.high) + 1)])
    points = " ".join(f"{x(math.log10(step)):.1f},{y(loss):.1f}" for step, loss in zip(steps, losses))
    parts.append(Markup(f'<polyline points="{points}" fill="none" stroke="{BLUE}" stroke-width="1.4"/>'))
    place = x(math.log10(at_step))
    parts.append(_line(place, _TOP, place, height - _BOTTOM, "mark"))
    parts.append(Markup(f'<circle cx="{place:.1f}" cy="{y(at_loss):.1f}" r="4" fill="{VERMILION}" stroke="#fff"/>'))
    return _svg(height, label, parts)


def named_bars(rows, label):
    """Bars [(name, value, mark, note)] under their names; `mark` (or None) is a tick at what the nominal count says."""
    step = 27
    height = step * len(rows) + 4
    scale = _Scale((0, max(max(value, mark or 0) for _, value, mark, _ in rows)), (1, WIDTH - 2))
    parts = []
    for i, (name, value, mark, note) in enumerate(rows):
        y = i * step + 13
        parts += [_text(1, y - 2, _elided(name)), _text(WIDTH - 2, y - 2, note, "end"), _rect(1, y + 2, scale(value) - 1, 9, BLUE)]
        if mark is not None:
            parts.append(_line(scale(mark), y, scale(mark), y + 13, "tick"))
    return _svg(height, label, parts)


class _Scale:
    """Linear map of values to places on the page."""

    def __init__(self, values, places):
        (self.low, self.high), (self.start, self.end) = map(float, values), places
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError("a value to be drawn is not finite")
        self._factor = (self.end - self.start) / ((self.high - self.low) or 1.0)

    def __call__(self, value):
        return self.start + (float(value) - self.low) * self._factor


def _elided(name, longest=46):
    """A dotted name without its first parts, where it is too long to stand beside its note."""
    whole = name
    while len(name) > longest and "." in name:
        name = name.split(".", 1)[1]
    return name if name == whole else f"…{name}"


def _extent(pieces):
    return sum(value for _, value in pieces if value > 0)


def _bar(pieces, scale, y, height):
    parts, at = [], 0.0
    for colour, value in pieces:
        low, high = sorted((scale(at), scale(at + value)))
        parts.append(_rect(low, y if value >= 0 else y + height * 0.6, high - low, height if value >= 0 else height * 0.4, colour))
        at += value
    return parts


def _frame(x, y, height, axis, unit, x_ticks=None, smallest=0):
    x_ticks = x_ticks or [(tick, f"{tick:,g}" if tick < 1e6 else f"{tick:.3g}") for tick in _ticks(x.low, x.high)]
    y_ticks = _ticks(y.low, y.high, smallest=smallest)
    parts = [_line(_LEFT, y(tick), WIDTH - _RIGHT, y(tick), "grid") for tick in y_ticks]
    parts += [_text(_LEFT - 5, y(tick) + 4, f"{tick:g}", "end") for tick in y_ticks if abs(y(tick) - _TOP) > 3]
    parts += [_text(x(tick), height - _BOTTOM + 14, name, "middle") for tick, name in x_ticks]
    parts += [_line(_LEFT, height - _BOTTOM, WIDTH - _RIGHT, height - _BOTTOM, "axis")]
    return [*parts, _text((_LEFT + WIDTH - _RIGHT) / 2, height - 5, axis, "middle"), _text(4, 10, unit)]


def _ticks(low, high, count=5, smallest=0):
    """Round numbers in [low, high], about `count` of them and at least `smallest` apart."""
    span = max((high - low) / count, smallest) or 1.0
    power = 10 ** math.floor(math.log10(span))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.75 * span or factor == 10)
    return [round(k * step, 12) for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _rect(x, y, width, height, colour):
    return Markup(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" fill="{colour}"/>')


def _line(x1, y1, x2, y2, kind):
    return Markup(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')


def _text(x, y, text, place="start"):
    at = "" if place == "start" else f' text-anchor="{place}"'
    return Markup(f'<text x="{x:.1f}" y="{y:.1f}"{at}>') + Markup("{}</text>").format(text)


def _svg(height, label, parts):
    start = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDTH, height, label)
    return start + Markup("").join(parts) + Markup("</svg>")
