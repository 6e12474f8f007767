"""Numbers and anchors of the audit page: a number is shown rounded and carries its full value."""

import hashlib
import math
import re

from markupsafe import Markup

from scalebound.counts import short_count


def number(value, digits=3):
    """`value` (a number, or its text in a table) with `digits` decimals, as a <data> element that holds the whole of it."""
    return _data(value, f"{_finite(value):.{digits}f}")


def significant(value, digits=4):
    """`value` with `digits` significant digits, for what spans orders of magnitude."""
    shown = f"{_finite(value):.{digits}g}"
    mantissa, _, exponent = shown.partition("e")
    power = Markup("·10<sup>{}</sup>").format(_minus(str(int(exponent)))) if exponent else ""
    return _data(value, Markup.escape(_minus(mantissa)) + power)


def whole(value):
    """A count with thousands separated."""
    if _finite(value) != int(float(value)):
        raise ValueError(f"{value!r} is not a whole number")
    return _data(value, f"{int(float(value)):,}")


def short(value):
    """A count as people read it (5.69k), with the whole of it behind."""
    _finite(value)
    return _data(value, short_count(int(float(value))))


def size(count):
    """Bytes in the decimal unit that fits."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return _data(count, f"{count / unit:.3g} {name}")
    return _data(count, f"{count} bytes")


def anchor(*parts):
    """The id of a section, in the grammar of the paths: parts that no id may hold are replaced, never merged."""
    return "/".join(_id_part(str(part)) for part in parts)


def _id_part(part):
    clean = re.sub(r"[^A-Za-z0-9._-]", "_", part)
    return clean if clean == part else f"{clean}_{hashlib.sha256(part.encode(errors='backslashreplace')).hexdigest()[:8]}"


def _finite(value):
    if isinstance(value, bool) or not math.isfinite(float(value)):
        raise ValueError(f"{value!r} where a number should be")
    return float(value)


def _data(value, shown):
    text = value if isinstance(value, str) else repr(value.item() if hasattr(value, "item") else value)
    return Markup('<data value="{}">{}</data>').format(text, shown if isinstance(shown, Markup) else _minus(shown))


def _minus(text):
    return text.replace("-", "−")
